//! The files that a hook wrote to its output folder, as its `ArchiveResult` lists them.

use std::path::Path;

use serde_json::{Value, json};
use walkdir::WalkDir;

use crate::sorting::sort;

/// The ends of the names of files about a process rather than about its results.
const NO_RESULTS: [&str; 4] = [".log", ".pid", ".sh", ".DS_Store"];

/// Returns the path, extension, MIME type and size of each regular file below `folder`, sorted by path. Leaves out links,
/// logs, and what cannot be read.
pub(super) fn list(folder: &Path) -> Vec<Value> {
    let entries = WalkDir::new(folder).min_depth(1).into_iter();
    let files = entries
        .filter_entry(|entry| entry.file_name() != ".hooks")
        .flatten()
        .filter(|entry| entry.file_type().is_file());
    let mut paths: Vec<(String, u64)> = files
        .filter_map(|entry| {
            let path = entry.path().strip_prefix(folder).ok()?.to_string_lossy().into_owned();
            let size = entry.metadata().ok()?.len();
            (!NO_RESULTS.iter().any(|end| path.ends_with(end))).then_some((path, size))
        })
        .collect();
    sort(&mut paths);
    let file = |(path, size): (String, u64)| {
        let (extension, mime_type) = (extension(&path), mime_type(&path));
        json!({ "path": path, "extension": extension, "mimetype": mime_type, "size": size })
    };
    paths.into_iter().map(file).collect()
}

/// Returns the part after the last dot of a file's name, in lower case, or an empty string.
fn extension(path: &str) -> String {
    Path::new(path).extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

/// Returns the MIME type that the name of a file stands for, without `.gz`, or an empty string.
fn mime_type(path: &str) -> &'static str {
    let extension = extension(path);
    match (extension.as_str(), path.rsplit_once('.')) {
        ("gz", Some((inner, _))) => match mime_type(inner) {
            "" => "application/gzip",
            found => found,
        },
        _ => mime_type_of_extension(&extension),
    }
}

fn mime_type_of_extension(extension: &str) -> &'static str {
    match extension {
        "html" | "htm" => "text/html",
        "xhtml" => "application/xhtml+xml",
        "txt" | "srt" => "text/plain",
        "md" => "text/markdown",
        "css" => "text/css",
        "csv" => "text/csv",
        "tsv" => "text/tab-separated-values",
        "js" | "mjs" => "text/javascript",
        "vtt" => "text/vtt",
        "py" => "text/x-python",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "epub" => "application/epub+zip",
        "zip" => "application/zip",
        "tar" | "tgz" => "application/x-tar",
        "warc" => "application/warc",
        "wasm" => "application/wasm",
        "mht" | "mhtml" | "eml" => "message/rfc822",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "ico" => "image/vnd.microsoft.icon",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/mp4",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/x-wav",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "mov" => "video/quicktime",
        "avi" => "video/x-msvideo",
        "ogv" => "video/ogg",
        "mpg" | "mpeg" => "video/mpeg",
        "m3u8" => "application/vnd.apple.mpegurl",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_compressed_file_is_that_of_its_content() {
        let types = ["a.warc.gz", "a.GZ", "a.b.HTML", "a", ".gz", "a.jsonl"].map(mime_type);
        assert_eq!(types, ["application/warc", "application/gzip", "text/html", "", "", ""]);
    }
}
