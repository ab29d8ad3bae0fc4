//! Named places at which a test can kill the process, as a power cut would.
//!
//! With `AQUIFER_CRASH_AT=step` in the environment the process kills itself when it
//! passes `step`, with `step:3` at the third passage. Only in builds with debug
//! assertions: in release builds the call is empty.

/// Ends the process with SIGKILL here if the environment asks for it: nothing is
/// flushed, no destructor runs.
#[cfg(debug_assertions)]
pub fn crash_point(step: &'static str) {
    imp::passed(step);
}

/// Does nothing in this build.
#[cfg(not(debug_assertions))]
#[inline]
pub fn crash_point(_: &'static str) {}

#[cfg(debug_assertions)]
mod imp {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    /// The variable that names the step.
    const VARIABLE: &str = "AQUIFER_CRASH_AT";

    struct Crash {
        step: String,
        passages_left: AtomicU64,
    }

    static CRASH: LazyLock<Option<Crash>> =
        LazyLock::new(|| std::env::var(VARIABLE).ok().map(|text| parse(&text)));

    pub(super) fn passed(step: &str) {
        let Some(crash) = CRASH.as_ref().filter(|crash| crash.step == step) else {
            return;
        };
        if crash.passages_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // An error is impossible: a process may signal itself. Should the signal
            // come late, abort is the next best power cut.
            kill(Pid::this(), Signal::SIGKILL).ok();
            std::process::abort();
        }
    }

    fn parse(text: &str) -> Crash {
        let (step, passages) = match text.rsplit_once(':') {
            Some((step, passages)) => (step, passages.parse().ok().filter(|&n| n > 0)),
            None => (text, Some(1)),
        };
        let Some(passages) = passages else {
            // A test that asks for a crash and gets none would prove nothing.
            panic!("{VARIABLE}=`{text}` is neither `step` nor `step:N` with N from 1");
        };
        Crash {
            step: step.to_owned(),
            passages_left: AtomicU64::new(passages),
        }
    }

    #[cfg(test)]
    mod tests {
        use std::os::unix::process::ExitStatusExt as _;
        use std::process::Command;

        use super::super::crash_point;
        use super::*;

        /// Passes two steps several times, as a process of its own.
        #[test]
        #[ignore = "run by the other test as a process of its own"]
        fn process() {
            for _ in 0..3 {
                crash_point("upload");
                println!("uploaded");
                crash_point("commit");
            }
        }

        fn run(crash_at: Option<&str>) -> (usize, Option<i32>) {
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--ignored", "--exact", "--nocapture"]);
            child.arg("crash::imp::tests::process");
            child.env_remove(VARIABLE);
            if let Some(step) = crash_at {
                child.env(VARIABLE, step);
            }
            let output = child.output().unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            (stdout.matches("uploaded").count(), output.status.signal())
        }

        #[test]
        fn the_process_dies_at_the_step_and_passage_named() {
            const SIGKILL: i32 = 9;
            assert_eq!(run(None), (3, None));
            assert_eq!(run(Some("elsewhere")), (3, None));
            assert_eq!(run(Some("upload")), (0, Some(SIGKILL)));
            assert_eq!(run(Some("commit")), (1, Some(SIGKILL)));
            assert_eq!(run(Some("upload:3")), (2, Some(SIGKILL)));
        }

        #[test]
        #[should_panic(expected = "neither `step` nor `step:N`")]
        fn a_crash_that_could_never_happen_is_refused() {
            parse("commit:0");
        }
    }
}
