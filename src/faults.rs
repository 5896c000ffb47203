//! Named failpoints and deliberate defects, compiled in only with the feature `faults`; without it every
//! function here is empty and costs nothing.
//!
//! - `WATTLINE_FAULT=name:k:kill|error|stop` acts on the k-th pass (from 1) of the point `name`: the
//!   process kills itself (`SIGKILL`), the call fails once, or the process freezes (`SIGSTOP`) until
//!   it is continued, as an owner that hangs does.
//! - `WATTLINE_BROKEN=name,name` turns on defects that the tests must notice.
//!
//! Points: `after_read`, `after_aggregate`, `before_decide`, `after_decide`, `before_apply`,
//! `after_apply`; of Parquet `staged`, `manifest`, `published`, in a bucket `copied`; `committing` and `committed` on both sides of a
//! commit of PostgreSQL and of a topic's transaction; of Cassandra `between_record_and_head` and
//! `between_rows_and_applied`; of `produce`: `sent` (a chunk was handed over), `progress_sent`, `before_commit`,
//! `after_commit`.
//! Defects: `early_position` (positions move before the decision), `no_epoch` (a stale owner is
//! not refused), `in_place` (stored state is overwritten in place), `no_origin` (messages of a
//! topic that were counted before are counted again).

/// Passes a named point: acts if `WATTLINE_FAULT` names it and this is the pass it names.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn point(_name: &str) -> crate::Result<()> {
    Ok(())
}

/// Whether the defect `name` is asked for.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn broken(_name: &str) -> bool {
    false
}

#[cfg(feature = "faults")]
pub use armed::{broken, point};

#[cfg(feature = "faults")]
mod armed {
    use crate::{Error, Kind, Result};
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSES: AtomicU64 = AtomicU64::new(0);

    /// Passes a named point: acts if `WATTLINE_FAULT` names it and this is the pass it names.
    pub fn point(name: &str) -> Result<()> {
        let Ok(told) = std::env::var("WATTLINE_FAULT") else {
            return Ok(());
        };
        let Some((wanted, pass, action)) = parse(&told) else {
            return Err(Error::new(
                Kind::Usage,
                format!(
                    "WATTLINE_FAULT={told:?} is not name:k:kill|error|stop; mend it or unset it"
                ),
            ));
        };
        if wanted != name || PASSES.fetch_add(1, Ordering::SeqCst) + 1 != pass {
            return Ok(());
        }
        act(name, action)
    }

    /// Whether the defect `name` is asked for.
    pub fn broken(name: &str) -> bool {
        std::env::var("WATTLINE_BROKEN").is_ok_and(|v| v.split(',').any(|n| n.trim() == name))
    }

    fn parse(told: &str) -> Option<(&str, u64, &str)> {
        let mut parts = told.split(':');
        let found = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let known = matches!(found.2, "kill" | "error" | "stop");
        (known && parts.next().is_none()).then_some(found)
    }

    fn act(name: &str, action: &str) -> Result<()> {
        match action {
            "kill" => signal(libc::SIGKILL),
            "stop" => signal(libc::SIGSTOP),
            _ => {
                return Err(Error::new(
                    Kind::Endpoint,
                    format!("the failpoint {name} failed as asked by WATTLINE_FAULT; unset it"),
                ));
            }
        }
        Ok(())
    }

    /// A signal to this very process. Only a signal ends it at this instruction, with no
    /// destructor run, which is what the tests are about; there is no safe call for it.
    fn signal(number: i32) {
        unsafe {
            libc::kill(libc::getpid(), number);
        }
        // Another thread may take the signal: this one must not pass the point meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(300));
    }

    #[cfg(test)]
    mod tests {
        use super::parse;

        #[test]
        fn a_fault_is_name_pass_action() {
            assert_eq!(parse("staged:3:kill"), Some(("staged", 3, "kill")));
            assert_eq!(parse("staged:3"), None);
            assert_eq!(parse("staged:x:kill"), None);
            assert_eq!(parse("staged:1:burn"), None);
            assert_eq!(parse("staged:1:kill:2"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What `call` is given in the files below `folder`.
    fn named(folder: &Path, call: &str, found: &mut BTreeSet<String>) {
        let mark = format!("faults::{call}(\"");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                named(&path, call, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let after = text.split(&mark).skip(1);
                found.extend(after.filter_map(|t| Some(t.split_once('"')?.0.to_string())));
            }
        }
    }

    #[test]
    fn the_list_above_is_whole() {
        let here = include_str!("faults.rs");
        let told = |from: &str, to: &str| -> BTreeSet<String> {
            let part = here.split_once(from).unwrap().1;
            let list = part.split_once(to).unwrap().0.split('`').skip(1).step_by(2);
            list.filter(|name| *name != "produce")
                .map(String::from)
                .collect()
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut points = BTreeSet::new();
        named(&source, "point", &mut points);
        assert_eq!(told("//! Points:", "//! Defects:"), points);
        let mut defects = BTreeSet::new();
        named(&source, "broken", &mut defects);
        assert_eq!(told("//! Defects:", "\n\n"), defects);
    }
}
