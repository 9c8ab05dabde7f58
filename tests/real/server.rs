//! An HTTP server on the loopback interface.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::test_context::TestContext;

const PAGE: &str = "<html><head><title>A page</title></head><body><h1>Text</h1><a href=\"/other.html\">other</a></body></html>";

/// A server of the files in a folder. It runs until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts a server of one page, whose address it has.
    pub(crate) fn start(context: &TestContext) -> Self {
        let page = context.write("site/index.html", PAGE);
        let mut server = Self::of_folder(page.parent().unwrap());
        server.url += "/index.html";
        server
    }

    pub(crate) fn of_folder(folder: &Path) -> Self {
        let program = "import functools, http.server as h; s = h.ThreadingHTTPServer(('127.0.0.1', 0), \
                       functools.partial(h.SimpleHTTPRequestHandler, directory=__import__('sys').argv[1])); \
                       print(s.server_port, flush=True); s.serve_forever()";
        let mut child = Command::new("python3")
            .args(["-c", program])
            .arg(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
