//! A wall clock that a test can set for the commands of its context.

use std::process::Command;

use crate::test_context::TestContext;

/// The C source of a library that adds the seconds in the file `CLOCK` to the wall-clock time, and to no other clock.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    FILE *file = clock == CLOCK_REALTIME ? fopen(getenv("CLOCK"), "r") : NULL;
    long seconds = 0;
    if (file && fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds;
    if (file) fclose(file);
    return failed;
}
"#;

impl TestContext {
    /// Gives all further commands a clock that is as many seconds ahead as the file `clock` says. Needs `cc`.
    pub(crate) fn shift_clock(&mut self) {
        let (source, library) = (self.write("shift.c", SHIFT), self.path("shift.so"));
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(built.unwrap().success());
        let clock = self.write("clock", "0");
        self.set("CLOCK", clock).set("LD_PRELOAD", library);
    }
}
