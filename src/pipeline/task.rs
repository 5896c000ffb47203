//! One partition as a pure state machine: `step(event) → effects`. No I/O, no clock, no thread.
//!
//! Batch, resume, re-run, rebalance and (later) Kafka all enter here and nowhere else. The run
//! feeds events in the order they happened and carries effects out in the order given.
//!
//! ```text
//!            Owned(epoch, head, records)          Batch · Tick · EndOfRead · Stop
//!  Waiting ───────────────────────────► Running ─────────────────────────────────► Running
//!     ▲                                    │  Decide(flush n) ── at most one in flight
//!     │ Fenced                             ▼
//!     └──────────────────────────── Decided(n) → Apply(n) to every sink, in order → Applied(sink, n)
//!                                          │ last flush decided and applied
//!                                          ▼
//!                                        Done (or Stopped)
//! ```
//!
//! **Rules** (each is checked by the simulation in `tests/simulate.rs`, by a model that shares no code with this):
//! 1. Positions in a flush cover exactly the batches whose effects are in flushes ≤ n. They move with the decision, never before.
//! 2. Flush n + 1 is built while n is in flight, but sent only after n is decided.
//! 3. A refused flush (`Fenced`) ends the task: its state is dropped, never reused; the run
//!    takes the partition again from the head.
//! 4. An answer that is unclear (`Unclear`) is settled by `Settle`: the run reads the head; same
//!    (epoch, n) = decided, n − 1 = not decided and the *same* record is sent again.
//! 5. On `Owned` with unapplied flushes: first every sink applies them in order (from records, never recomputed),
//!    then reading begins at the head's positions with the state folded from the records.
//! 6. What a clock decided (idle, ahead) is in the record.
//!
//! **A batch** goes: ahead (reject) → null rows → dedupe → late, per grain → merge into open windows →
//! watermark. If the batch is in order against all that was seen and no row can be late, the delta prepared on the
//! pool is merged as it is; otherwise the rows left are accumulated here. Both ways give the same bits.
//!
//! **Late** is decided row by row in arrival order: with W = greatest admitted end of interval before the row
//! − lateness, the row is late for grain g if W ≥ end of its window in g. This does not depend on batch borders nor on which other
//! grains exist. In a bounded read W moves only by `low` and at the end of the read, so nothing is late
//! in it; but a window that an earlier run closed for good is behind it.
//!
//! **Closing.** A window is final when W ≥ its end. Final windows leave memory (kept until W ≥ end +
//! `correct_for` under `on_late = correct`). At the end of a bounded read, W becomes
//! the read's greatest end of interval, and windows still open are written with `final = false` and stay in the state.
//!
//! **When to flush**: enough rows or bytes of effects, or `interval` since the last one, or end, or stop. Only
//! when something changed (a re-run of a counted file decides nothing).

mod events;

pub use events::{Effect, Event, Limits, Outcome, TaskConfig, Wants};

use crate::Result;
use crate::source::Prepare;

/// One partition as a state machine.
#[derive(Debug)]
pub struct Task {
    config: TaskConfig,
}

impl Task {
    /// A task that waits for [`Event::Owned`].
    pub fn new(config: TaskConfig) -> Result<Task> {
        config.check()?;
        Ok(Task { config })
    }

    /// The stateless part, for the pool.
    pub fn prepare(config: &TaskConfig) -> Prepare {
        let plan = config.plan.clone();
        std::sync::Arc::new(move |readings| {
            let keep = crate::window::Keep {
                rows: crate::transform::ranges::keep(readings),
                ..crate::window::Keep::default()
            };
            plan.accumulate(readings, &keep)
        })
    }

    /// Takes an event, gives what is to be done, in order.
    pub fn step(&mut self, _event: Event) -> Vec<Effect> {
        let _ = &self.config;
        Vec::new()
    }
}
