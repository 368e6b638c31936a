//! A sample of `tests/power`: real nodes on real file systems without power, room or write
//! permission.
//!
//! Where a machine does not allow this, the test says so and passes.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Runs a script with the binaries that were built with this test.
fn script(name: &str, arguments: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("power").join(name);
    let test = std::env::current_exe().expect("the path of this test");
    let bins = test.ancestors().nth(2).expect("a target directory");
    let output =
        Command::new("python3").arg(path).arg("--bin-dir").arg(bins).args(arguments).output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let _ = writeln!(std::io::stdout(), "skipped, no python3: {error}");
            return;
        }
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    let _ = write!(std::io::stdout(), "{stdout}");
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_power_cut_on_a_real_file_system_loses_nothing_acknowledged() {
    script("cut.py", &["--rounds", "1", "--seed", "7"]);
}

#[test]
fn a_read_only_full_or_locked_disk_loses_nothing_acknowledged() {
    script("faults.py", &[]);
}
