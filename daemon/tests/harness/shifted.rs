//! A real node whose clocks a test moves.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Daemon, House};

/// A node whose clocks can be moved.
pub(crate) struct Shifted {
    pub(crate) house: House,
    shim: PathBuf,
}

impl Shifted {
    pub(crate) fn new(config: &str) -> Self {
        let house = House::quick();
        house.configure(config);
        let shim = house.around().join("clockshim.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clockshim.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source);
        assert!(compile.status().expect("a C compiler").success());
        let shifted = Self { house, shim };
        shifted.shift(0);
        shifted.suspend(0);
        shifted
    }

    fn file(&self, name: &str) -> PathBuf {
        self.house.around().join(name)
    }

    fn write(&self, name: &str, seconds: i64) {
        // Renamed: the node never reads an empty file.
        let new = self.file("new");
        std::fs::write(&new, seconds.to_string()).expect("write");
        std::fs::rename(new, self.file(name)).expect("rename");
    }

    /// Sets the wall clock so many seconds away from the right time.
    pub(crate) fn shift(&self, seconds: i64) {
        self.write("shift", seconds);
    }

    /// Moves the clocks as if the machine had been suspended for so many seconds since its start.
    pub(crate) fn suspend(&self, seconds: i64) {
        self.write("suspend", seconds);
    }

    /// Lets the next start be in another boot of the machine.
    pub(crate) fn boot(&self, digit: char) {
        let id = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx\n".replace('x', &digit.to_string());
        std::fs::write(self.file("boot"), id).expect("write");
    }

    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, more: &[&str]) -> Daemon {
        let spawn = |mut command: Command| {
            command.env("LD_PRELOAD", &self.shim);
            command.env("SHIFT_FILE", self.file("shift")).env("SUSPEND_FILE", self.file("suspend"));
            command.env("BOOT_FILE", self.file("boot")).spawn()
        };
        self.house.start_by(spawn, &[&["--listen", "127.0.0.1:0", "--no-mdns"], more].concat())
    }
}
