//! Runs `icnd` under ptrace and strikes at one of its calls.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::call::{Call, Kind, Process};
use super::witness::Witness;
use crate::harness::{House, until};

/// A shell that stops until the tracer attaches, then becomes the program in its arguments.
const STOPPED: [&str; 3] = ["/bin/sh", "-c", "kill -STOP $$; exec \"$0\" \"$@\""];

/// The fault at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// No fault.
    Nothing,
    /// `kill -9` before the call runs.
    KillBefore,
    /// `kill -9` after half of a write.
    KillWithin,
    /// `kill -9` after the call, before the process sees its result.
    KillAfter,
    /// Half of a write is done, and its result reports that.
    Short,
    /// The call does nothing and returns this error.
    Fail(Errno),
    /// This call and all later ones that count do nothing and return this error.
    FailFromNowOn(Errno),
}

/// The call to strike at, and the fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Which calls count, over all threads.
    pub(crate) counts: fn(&Call) -> bool,
    /// The number of the call to strike at, from 1.
    pub(crate) at: u64,
    pub(crate) strike: Strike,
}

impl Plan {
    /// A life without a fault.
    pub(crate) const PEACE: Self = Self { counts: |_| true, at: 0, strike: Strike::Nothing };
}

/// The calls and the end of a traced process.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The calls that counted, in order.
    pub(crate) calls: Vec<Call>,
    /// The call that was struck at; `None` when the life ended before it.
    pub(crate) struck: Option<Call>,
    /// The exit code; `None` after a kill.
    pub(crate) exit: Option<i32>,
    pub(crate) witness: Witness,
}

/// An `icnd` under the tracer.
pub(crate) struct Traced {
    pid: Pid,
    thread: JoinHandle<Report>,
}

impl Traced {
    /// Starts `icnd` in `house`.
    ///
    /// # Errors
    /// The error of the system when it allows no tracing.
    pub(crate) fn start(house: &House, plan: Plan) -> Result<Self, Errno> {
        let mut icnd = house.icnd(&STOPPED);
        icnd.args(["--http", "127.0.0.1:0"]);
        let root = house.around().canonicalize().expect("a directory");
        let (started, start) = mpsc::channel();
        // Only the thread that attaches may trace.
        let thread = thread::spawn(move || match attach(&mut icnd) {
            Ok(pid) => {
                let _ = started.send(Ok(pid));
                Tracer::new(pid, root, plan).run()
            }
            Err(error) => {
                let _ = started.send(Err(error));
                Report::default()
            }
        });
        let pid = start.recv().expect("the tracer")?;
        Ok(Self { pid, thread })
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.has_ended() {
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits for the end of the process.
    pub(crate) fn finish(self) -> Report {
        until("the end of icnd", || self.thread.is_finished().then_some(()));
        self.thread.join().expect("the tracer")
    }
}

#[expect(clippy::zombie_processes, reason = "the tracer waits for each of its threads")]
fn attach(command: &mut Command) -> nix::Result<Pid> {
    let child = command.spawn().expect("spawn a shell");
    let pid = Pid::from_raw(child.id().cast_signed());
    waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    let attached = ptrace::seize(pid, options);
    if attached.is_err() {
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
    }
    attached?;
    kill(pid, Signal::SIGCONT)?;
    Ok(pid)
}

/// A call in flight: entered and not left.
struct Entered {
    call: Call,
    struck: bool,
    /// The start of a write; empty for other calls.
    bytes: Vec<u8>,
    /// The last LSN that a sync covers.
    covers: u64,
}

struct Tracer {
    pid: Pid,
    root: PathBuf,
    plan: Plan,
    /// `None` while the process is still the shell.
    process: Option<Process>,
    /// The threads inside a call, each with the call if it is watched.
    inside: HashMap<Pid, Option<Entered>>,
    report: Report,
}

impl Tracer {
    fn new(pid: Pid, root: PathBuf, plan: Plan) -> Self {
        let report = Report::default();
        Self { pid, root, plan, process: None, inside: HashMap::new(), report }
    }

    fn run(mut self) -> Report {
        loop {
            // Other tests trace children of other threads.
            let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            let status = waitpid(None, Some(ours)).expect("a traced thread");
            let handled = match status {
                WaitStatus::Exited(thread, code) if thread == self.pid => {
                    self.report.exit = Some(code);
                    return self.report;
                }
                WaitStatus::Signaled(thread, ..) if thread == self.pid => return self.report,
                WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => {
                    self.inside.remove(&thread);
                    Ok(())
                }
                WaitStatus::PtraceSyscall(thread) => self.crossed(thread),
                WaitStatus::PtraceEvent(thread, _, libc::PTRACE_EVENT_EXEC) => {
                    self.process = Process::new(self.pid.as_raw()).ok();
                    ptrace::syscall(thread, None)
                }
                WaitStatus::PtraceEvent(thread, ..) => ptrace::syscall(thread, None),
                WaitStatus::Stopped(thread, signal) => ptrace::syscall(thread, signal),
                other => panic!("{other:?}"),
            };
            // A thread that was stopped may have been killed since.
            assert!(matches!(handled, Ok(()) | Err(Errno::ESRCH)), "{handled:?}");
        }
    }

    /// Handles a thread that enters or leaves a call.
    fn crossed(&mut self, thread: Pid) -> nix::Result<()> {
        let killed = match self.inside.remove(&thread) {
            None => self.enter(thread)?,
            Some(None) => false,
            Some(Some(entered)) => self.leave(thread, entered)?,
        };
        if killed { kill(self.pid, Signal::SIGKILL) } else { ptrace::syscall(thread, None) }
    }

    fn enter(&mut self, thread: Pid) -> nix::Result<bool> {
        let mut registers = ptrace::getregs(thread)?;
        let Some(mut entered) = self.look(&registers) else {
            self.inside.insert(thread, None);
            return Ok(false);
        };
        if (self.plan.counts)(&entered.call) {
            self.report.calls.push(entered.call.clone());
            let number = self.report.calls.len() as u64;
            entered.struck = match self.plan.strike {
                Strike::Nothing => false,
                Strike::FailFromNowOn(_) => number >= self.plan.at,
                _ => number == self.plan.at,
            };
        }
        if entered.struck {
            self.report.struck.get_or_insert_with(|| entered.call.clone());
            match self.plan.strike {
                Strike::KillBefore => return Ok(true),
                Strike::KillWithin | Strike::Short => {
                    registers.rdx = registers.rdx.div_ceil(2);
                    ptrace::setregs(thread, registers)?;
                }
                Strike::Fail(_) | Strike::FailFromNowOn(_) => {
                    // No call has this number.
                    registers.orig_rax = u64::MAX;
                    ptrace::setregs(thread, registers)?;
                }
                Strike::Nothing | Strike::KillAfter => {}
            }
        }
        self.inside.insert(thread, Some(entered));
        Ok(false)
    }

    fn leave(&mut self, thread: Pid, entered: Entered) -> nix::Result<bool> {
        let mut registers = ptrace::getregs(thread)?;
        if entered.struck {
            match self.plan.strike {
                Strike::Fail(error) | Strike::FailFromNowOn(error) => {
                    registers.rax = (-i64::from(error as i32)).cast_unsigned();
                    ptrace::setregs(thread, registers)?;
                }
                Strike::Short => {}
                _ => return Ok(true),
            }
        }
        let well = registers.rax.cast_signed() >= 0;
        let Entered { call, bytes, covers, .. } = entered;
        match call.kind {
            Kind::Write if well => self.report.witness.wrote(&call.path, &bytes),
            Kind::Sync => self.report.witness.synced(&call.path, covers, well),
            _ => {}
        }
        Ok(false)
    }

    /// The call that a thread enters, if it is watched.
    fn look(&mut self, registers: &user_regs_struct) -> Option<Entered> {
        let process = self.process.as_ref()?;
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10];
        let [first, buffer, count, _] = arguments;
        let witness = &mut self.report.witness;
        if registers.orig_rax.cast_signed() == libc::SYS_sendto
            && process.file(first).to_string_lossy().starts_with("socket:")
        {
            let length = usize::try_from(count).unwrap_or(usize::MAX);
            witness.tells(&process.read(buffer, length));
            return None;
        }
        let call = process.call(&self.root, registers.orig_rax, arguments)?;
        let bytes = match call.kind {
            Kind::Write => process.read(buffer, Witness::LOOK_BYTES),
            _ => Vec::new(),
        };
        let covers = witness.covers(&call.path);
        Some(Entered { call, struck: false, bytes, covers })
    }
}
