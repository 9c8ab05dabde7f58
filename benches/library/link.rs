//! Creates, verifies and replaces 10,000 links in LIB_BIN_DIR.

use std::path::{Path, PathBuf};

use divan::Bencher;
use divan::counter::ItemsCount;
use rigup::internal::{LinkKind, link};
use tempfile::TempDir;

const LINKS: u32 = 10_000;

struct Bin {
    dir: TempDir,
    links: Vec<PathBuf>,
}

impl Bin {
    fn empty() -> Self {
        let dir = crate::folder();
        let links = (0..LINKS).map(|n| dir.path().join(format!("tool{n}"))).collect();
        Self { dir, links }
    }

    fn full(target: &str) -> Self {
        let bin = Self::empty();
        bin.link_all(target);
        bin
    }

    fn link_all(&self, target: &str) {
        for path in &self.links {
            let target = Path::new(target);
            link(path, target, target, LinkKind::Symlink, true, || Ok(()))
                .expect("the temporary folder is writable");
        }
    }
}

fn bench(bencher: Bencher<'_, '_>, setup: impl Fn() -> Bin, target: &str) {
    bencher.counter(ItemsCount::new(LINKS)).with_inputs(setup).bench_local_values(|bin| {
        bin.link_all(target);
        bin.dir // divan drops it outside the measured time
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn create_10_000_links(bencher: Bencher<'_, '_>) {
    bench(bencher, Bin::empty, "/bin/sh");
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn verify_10_000_links(bencher: Bencher<'_, '_>) {
    bench(bencher, || Bin::full("/bin/sh"), "/bin/sh");
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn replace_10_000_links(bencher: Bencher<'_, '_>) {
    bench(bencher, || Bin::full("/bin/ls"), "/bin/sh");
}
