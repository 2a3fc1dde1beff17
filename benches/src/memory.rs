//! The most memory that this process held while it did a piece of work.

#[cfg(target_os = "linux")]
const STATUS: &str = "/proc/self/status";
#[cfg(target_os = "linux")]
const CLEAR: &str = "/proc/self/clear_refs";

/// Runs a piece of work, and returns what it gave and the most resident bytes of the whole process
/// meanwhile, where the system tells them (Linux).
pub fn peak<O>(work: impl FnOnce() -> O) -> (O, Option<u64>) {
    let fresh = forget_peak();
    let output = std::hint::black_box(work());
    (output, if fresh { resident_peak() } else { None })
}

/// Begins to count anew.
#[cfg(target_os = "linux")]
fn forget_peak() -> bool {
    #[expect(clippy::disallowed_methods, reason = "benches measure the machine")]
    let cleared = std::fs::write(CLEAR, "5");
    cleared.is_ok()
}

#[cfg(target_os = "linux")]
fn resident_peak() -> Option<u64> {
    let status = std::fs::read_to_string(STATUS).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(not(target_os = "linux"))]
const fn forget_peak() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
const fn resident_peak() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_what_was_held_meanwhile_and_not_before() {
        const BIG: usize = 256 << 20;
        let hold = |bytes: usize| {
            peak(|| vec![7u8; bytes].iter().map(|byte| u64::from(*byte)).sum::<u64>())
        };
        let (_, before) = hold(BIG);
        let (_, after) = hold(1 << 20);
        // Where the count can't begin anew nothing is said.
        let (Some(before), Some(after)) = (before, after) else { return };
        assert!(before > BIG as u64, "{before}");
        assert!(after < before - BIG as u64 / 2, "{after} of {before}");
    }
}
