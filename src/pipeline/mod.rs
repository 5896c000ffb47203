//! Pipeline: the engine. Spec → check → run; `task` decides, `run` moves.
//!
//! | part | does |
//! |---|---|
//! | `spec` | the one definition of every option (serde, unknown keys refused), its fingerprint |
//! | `check` | what would run, and what is wrong, before row one |
//! | [`task`] | one partition as a pure state machine: `step(event) → effects` |
//! | `run` | threads, the byte-bounded queue, stop; carries effects out |
//! | `report` | ledger, timings, summary |

pub mod control;
pub mod policy;
pub mod report;
pub mod task;
