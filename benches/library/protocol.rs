//! Parses 100 MB of a hook's output: log lines, records, and one line without an end.

use std::io::BufReader;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use rigup::internal::protocol;

const SIZE: usize = 100_000_000;
const RECORD: &str = r#"{"type":"ArchiveResult","status":"succeeded","output_str":"warc/index.html","bytes":18234,"headers":{"content-type":"text/html","server":"nginx"},"urls":["https://example.org/","https://example.org/a"]}"#;
const LOG_LINE: &str =
    "2026-01-01T00:00:00Z INFO fetched https://example.org/some/page in 128 ms, 18234 bytes, 200 OK";

fn repeated(lines: &str) -> Vec<u8> {
    lines.as_bytes().iter().copied().cycle().take(SIZE).collect()
}

fn parse(bencher: Bencher<'_, '_>, output: &[u8]) {
    bencher.counter(BytesCount::of_slice(output)).bench_local(|| {
        protocol::read(BufReader::new(output), |record| drop(black_box(record)))
            .expect("reading from memory cannot fail")
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn parse_100_mb_of_log_lines(bencher: Bencher<'_, '_>) {
    parse(bencher, &repeated(&format!("{LOG_LINE}\n")));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn parse_100_mb_of_records(bencher: Bencher<'_, '_>) {
    parse(bencher, &repeated(&format!("{RECORD}\n")));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn parse_100_mb_without_a_newline(bencher: Bencher<'_, '_>) {
    parse(bencher, &repeated("x"));
}
