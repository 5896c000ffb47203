//! A batch on its way into the windows: ahead → behind an earlier read → duplicates → late → merge.

use super::events::TaskConfig;
use super::live::Live;
use super::tables::{self, either};
use crate::flush::Decision;
use crate::pipeline::policy::{OnConflict, OnDuplicate, OnLate};
use crate::reject::{OnReject, Reject};
use crate::schema::{Quality, Readings};
use crate::source::FileName;
use crate::transform::{Found, Reach, Released, end, ranges, select};
use crate::window::{Delta, Keep, Watermark, late_masks};
use crate::{Error, Kind, Result};
use arrow_array::Array;
use arrow_buffer::BooleanBuffer;

/// In a bounded read the watermark does not follow the rows: seen from it they all lie this far ahead.
const FAR: i64 = 1 << 60;

/// Why a row is put aside.
const LATE: &str = "behind a final window";
const CONFLICT: &str = "conflict: another reading of this sensor and time has other values";
const BOTH: &str = "conflict, and behind a final window";
const BEHIND: &str = "behind an earlier read";

impl Live {
    /// Takes the readings of a batch in.
    pub(super) fn admit(
        &mut self,
        c: &TaskConfig,
        readings: Readings,
        delta: Option<Delta>,
        low: Option<i64>,
        now: i64,
    ) -> Result<()> {
        let (readings, delta) = self.reject_ahead(c, readings, delta, now)?;
        if let Some(most) = greatest_end(&readings, delta.as_ref()) {
            self.next_max_end = self.max_end.max(Some(most));
            if let Some(own) = &self.own {
                self.streams.reached(own, most);
            }
        }
        let (readings, delta) = self.put_behind(c, readings, delta)?;
        if c.on_conflict == OnConflict::Last {
            self.hold(c, readings)?;
            self.let_go(c, low.unwrap_or(i64::MIN))?;
        } else {
            self.count(c, readings, delta, low)?;
        }
        self.max_end = self.next_max_end;
        Ok(())
    }

    /// Readings too far ahead of the clock become rejects and move nothing.
    fn reject_ahead(
        &mut self,
        c: &TaskConfig,
        readings: Readings,
        delta: Option<Delta>,
        now: i64,
    ) -> Result<(Readings, Option<Delta>)> {
        let Some(ahead) = c.ahead.filter(|_| !c.bounded) else {
            return Ok((readings, delta));
        };
        let limit = now.saturating_add(ahead);
        if readings.time.iter().all(|t| *t <= limit) {
            return Ok((readings, delta));
        }
        let far = BooleanBuffer::collect_bool(readings.len(), |i| readings.time[i] > limit);
        let n = far.count_set_bits() as u64;
        for i in far.set_indices() {
            let reject = self.ahead_reject(&readings, i);
            match c.on_reject {
                OnReject::Raise => return Err(Error::new(Kind::RejectLimit, rejected(&reject))),
                OnReject::Collect if c.wants.rejects => self.gather.add_reject(reject),
                _ => {}
            }
        }
        let counters = &mut self.gather.counters;
        counters.accepted = counters.accepted.saturating_sub(n);
        counters.readings = counters.readings.saturating_sub(n);
        counters.rejected += n;
        self.gather.decisions.push(Decision::Ahead {
            readings: n,
            clock: now,
        });
        Ok((select(&readings, &!&far)?, None))
    }

    fn ahead_reject(&self, readings: &Readings, i: usize) -> Reject {
        Reject {
            file: self.file(readings).name,
            line: 0,
            byte: 0,
            row: readings.row(i) >> self.places,
            column: "time".into(),
            raw: readings.time[i].to_string(),
            reason: "the time lies too far ahead of the clock".into(),
        }
    }

    /// Rows of a bounded read that an earlier read may have counted are put aside.
    fn put_behind(
        &mut self,
        c: &TaskConfig,
        readings: Readings,
        delta: Option<Delta>,
    ) -> Result<(Readings, Option<Delta>)> {
        if readings.is_empty() || self.file(&readings).mended {
            return Ok((readings, delta));
        }
        let ordered = delta.as_ref().is_some_and(|d| d.stats().strictly_ordered);
        // In a stream it only notes how far each sensor came.
        let behind = self.dedupe.behind(&readings, ordered);
        let Some(behind) = behind.filter(|_| self.vouched) else {
            return Ok((readings, delta));
        };
        let aside = select(&readings, &behind)?;
        self.book_rest(c, &aside, |books, n| match c.on_late {
            OnLate::Drop => books.dropped += n,
            _ => books.late += n,
        });
        if c.wants.late && c.on_late != OnLate::Drop {
            let counted = counted(&aside);
            let shown = select(&aside, &counted)?;
            let all = c.plan.grains().collect::<Vec<_>>().join(",");
            let n = shown.len();
            self.aside(&shown, vec![BEHIND; n], vec![all; n])?;
        }
        Ok((select(&readings, &!&behind)?, None))
    }

    /// Books rows that reach no window: null and bad ones as such, the others as told.
    fn book_rest(
        &mut self,
        c: &TaskConfig,
        rows: &Readings,
        mut book: impl FnMut(&mut crate::ledger::GrainBooks, u64),
    ) {
        let null = (0..rows.len()).filter(|i| is_null(rows, *i)).count() as u64;
        let others = counted(rows).count_set_bits() as u64;
        let bad = rows.len() as u64 - null - others;
        for grain in c.plan.grains() {
            let books = self.gather.books(grain);
            books.null += null;
            books.dropped += bad;
            book(books, others);
        }
    }

    /// `on_conflict = last`: rows wait until no other of their instant can come.
    fn hold(&mut self, c: &TaskConfig, readings: Readings) -> Result<()> {
        self.pending(c, readings.len() as i64);
        self.held.hold(readings);
        Ok(())
    }

    /// Lets held rows below `low` go into the windows.
    pub(super) fn let_go(&mut self, c: &TaskConfig, low: i64) -> Result<()> {
        for Released { readings, replaced } in self.held.release(low)? {
            self.pending(c, -(readings.len() as i64));
            let n = replaced.count_set_bits() as u64;
            let readings = if n > 0 {
                self.gather.counters.conflicts += n;
                let out = select(&readings, &replaced)?;
                self.book_rest(c, &out, |books, n| books.dropped += n);
                self.list_conflicts(c, &out)?;
                select(&readings, &!&replaced)?
            } else {
                readings
            };
            self.count(c, readings, None, None)?;
        }
        self.dedupe.pass(low);
        Ok(())
    }

    fn pending(&mut self, c: &TaskConfig, rows: i64) {
        for grain in c.plan.grains() {
            self.gather.books(grain).pending += rows;
        }
    }

    fn list_conflicts(&mut self, c: &TaskConfig, rows: &Readings) -> Result<()> {
        if !c.wants.late {
            return Ok(());
        }
        let n = rows.len();
        self.aside(rows, vec![CONFLICT; n], vec![String::new(); n])
    }

    /// Duplicates, lateness, windows.
    fn count(
        &mut self,
        c: &TaskConfig,
        readings: Readings,
        delta: Option<Delta>,
        low: Option<i64>,
    ) -> Result<()> {
        if readings.is_empty() {
            return Ok(());
        }
        let delta = match delta {
            Some(delta) => delta,
            None => c.plan.accumulate(&readings, &Keep::default())?,
        };
        let ordered = delta.stats().strictly_ordered;
        let count = ranges::keep(&readings);
        let found = self
            .dedupe
            .find(&readings, count.as_ref(), ordered, self.reach(c, low))?;
        let (readings, delta, found) = self.resolve(c, readings, delta, found)?;
        if c.wants.readings {
            self.keep_readings(&readings, &found)?;
        }
        self.window(c, readings, delta, found)
    }

    /// Rows of one of several streams move W no further than the others allow.
    fn cap(&self) -> i64 {
        match &self.own {
            Some(own) => self.streams.least(Some(own)),
            None => i64::MAX,
        }
    }

    fn reach(&self, c: &TaskConfig, low: Option<i64>) -> Reach {
        match self.vouched {
            true => Reach::Read(low.unwrap_or(i64::MIN)),
            false => Reach::Stream {
                max_end: match self.own {
                    Some(_) => i64::MIN,
                    None => self.max_end.unwrap_or(i64::MIN),
                },
                lateness: c.lateness,
                closed_to: self.closed_to.unwrap_or(i64::MIN),
                span: c.dedupe_for,
                cap: self.cap(),
            },
        }
    }

    /// What the policies say of duplicates and conflicts: conflicts that do not count leave here.
    fn resolve(
        &mut self,
        c: &TaskConfig,
        readings: Readings,
        delta: Delta,
        mut found: Found,
    ) -> Result<(Readings, Delta, Found)> {
        if c.on_duplicate == OnDuplicate::Keep {
            found.duplicates = None;
        }
        let Some(conflicts) = &found.conflicts else {
            return Ok((readings, delta, found));
        };
        self.gather.counters.conflicts += conflicts.count_set_bits() as u64;
        if c.on_conflict == OnConflict::Keep {
            return Ok((readings, delta, found));
        }
        let out = select(&readings, conflicts)?;
        self.book_rest(c, &out, |books, n| books.dropped += n);
        self.list_conflicts(c, &out)?;
        let stay = !conflicts;
        if self.own.is_some() {
            self.beside = ends_beside(&readings, conflicts);
        }
        let duplicates = found.duplicates.as_ref().map(|d| {
            let bits: Vec<bool> = stay.set_indices().map(|i| d.value(i)).collect();
            BooleanBuffer::from(bits)
        });
        let readings = select(&readings, &stay)?;
        let delta = c.plan.accumulate(&readings, &Keep::default())?;
        Ok((
            readings,
            delta,
            Found {
                duplicates,
                conflicts: None,
            },
        ))
    }

    fn keep_readings(&mut self, readings: &Readings, found: &Found) -> Result<()> {
        let file = self.file(readings);
        let rows = match &found.duplicates {
            Some(twice) => tables::readings_rows(&select(readings, &!twice)?, &file)?,
            None => tables::readings_rows(readings, &file)?,
        };
        self.gather.add_readings(rows);
        Ok(())
    }

    /// Merges into the windows what is not late, row by row in order of arrival.
    fn window(
        &mut self,
        c: &TaskConfig,
        readings: Readings,
        delta: Delta,
        found: Found,
    ) -> Result<()> {
        let mark = self.mark(c);
        let beside = std::mem::take(&mut self.beside);
        let start = Keep {
            duplicates: found.duplicates.clone(),
            ..Keep::default()
        };
        let (on_time, _) = late_masks(&c.plan, &readings, &start, delta.stats(), mark, 0, &beside);
        let late = on_time.iter().any(Option::is_some);
        let delta = if late || found.duplicates.is_some() {
            c.plan.accumulate(
                &readings,
                &Keep {
                    on_time: on_time.clone(),
                    ..start.clone()
                },
            )?
        } else {
            delta
        };
        let mut missed = Missed::new(late, &on_time, &found, &readings);
        if late && let (OnLate::Correct, Some(allow)) = (c.on_late, c.plan.correct_for()) {
            let (reach, _) = late_masks(
                &c.plan,
                &readings,
                &start,
                delta.stats(),
                mark,
                allow,
                &beside,
            );
            self.correct(c, &readings, &mut missed, &reach)?;
        }
        self.book(c, &delta, &missed);
        self.open.merge(&c.plan, delta)?;
        if c.wants.late {
            self.list(c, &readings, &found, &missed)?;
        }
        Ok(())
    }

    /// The watermark as the rows of a batch meet it.
    fn mark(&self, c: &TaskConfig) -> Watermark {
        let lateness = if self.vouched { FAR } else { c.lateness };
        let max_end = match self.closed_to {
            Some(w) => w.saturating_add(lateness),
            None => i64::MIN,
        };
        Watermark {
            max_end,
            lateness,
            cap: self.cap(),
        }
    }

    /// Merges late rows into windows that are kept.
    fn correct(
        &mut self,
        c: &TaskConfig,
        readings: &Readings,
        missed: &mut Missed,
        reach: &[Option<BooleanBuffer>],
    ) -> Result<()> {
        let mut on_time = Vec::with_capacity(missed.late.len());
        let mut rows: Option<BooleanBuffer> = None;
        for (g, late) in missed.late.iter_mut().enumerate() {
            let kept = match (&*late, reach.get(g).and_then(Option::as_ref)) {
                (Some(late), Some(reach)) => late & reach,
                (Some(late), None) => late.clone(),
                (None, _) => BooleanBuffer::new_unset(readings.len()),
            };
            missed.corrected.push(kept.count_set_bits() as u64);
            *late = late.take().map(|l| &l & &!&kept);
            rows = either(rows, Some(kept.clone()));
            on_time.push(Some(kept));
        }
        if let Some(rows) = rows.filter(|r| r.count_set_bits() > 0) {
            let keep = Keep {
                rows: Some(rows),
                on_time,
                ..Keep::default()
            };
            let delta = c.plan.accumulate(readings, &keep)?;
            self.open.merge_late(&c.plan, delta)?;
        }
        Ok(())
    }

    fn book(&mut self, c: &TaskConfig, delta: &Delta, missed: &Missed) {
        for (g, grain) in c.plan.grains().enumerate() {
            let (from, to) = (delta.books(g), self.gather.books(grain));
            let corrected = missed.corrected.get(g).copied().unwrap_or(0);
            let late = from.late - corrected;
            to.windowed += from.windowed + corrected;
            to.corrected += corrected;
            to.crossing += from.crossing;
            to.null += from.null;
            to.duplicate += from.duplicate;
            to.dropped += from.dropped;
            match c.on_late {
                OnLate::Drop => to.dropped += late,
                _ => to.late += late,
            }
        }
    }

    /// Lists late rows and conflicts, each once.
    fn list(
        &mut self,
        c: &TaskConfig,
        readings: &Readings,
        found: &Found,
        missed: &Missed,
    ) -> Result<()> {
        let late = match c.on_late {
            OnLate::Drop => None,
            _ => missed.late.iter().cloned().fold(None, either),
        };
        let Some(rows) = either(late.clone(), found.conflicts.clone()) else {
            return Ok(());
        };
        let is = |mask: &Option<BooleanBuffer>, i: usize| mask.as_ref().is_some_and(|m| m.value(i));
        let (mut reasons, mut grains) = (Vec::new(), Vec::new());
        for i in rows.set_indices() {
            reasons.push(match (is(&late, i), is(&found.conflicts, i)) {
                (true, true) => BOTH,
                (true, false) => LATE,
                _ => CONFLICT,
            });
            let names = c.plan.grains().enumerate();
            let of = names
                .filter(|(g, _)| late.is_some() && missed.late.get(*g).is_some_and(|m| is(m, i)));
            grains.push(of.map(|(_, name)| name).collect::<Vec<_>>().join(","));
        }
        if reasons.is_empty() {
            return Ok(());
        }
        self.aside(&select(readings, &rows)?, reasons, grains)
    }

    fn aside(&mut self, rows: &Readings, reasons: Vec<&str>, grains: Vec<String>) -> Result<()> {
        if !rows.is_empty() {
            let file = self.file(rows);
            self.gather
                .add_late(tables::late_rows(rows, &file, reasons, grains)?);
        }
        Ok(())
    }

    pub(super) fn file(&self, readings: &Readings) -> FileName {
        let file = self.files.get(readings.file as usize);
        file.cloned().unwrap_or_default()
    }
}

/// For each row that stays the greatest end of the rows before it that do not.
fn ends_beside(readings: &Readings, out: &BooleanBuffer) -> Vec<i64> {
    let mut greatest = i64::MIN;
    let mut beside = Vec::with_capacity(readings.len());
    for i in 0..readings.len() {
        match out.value(i) {
            true => greatest = greatest.max(end(readings, i)),
            false => beside.push(greatest),
        }
    }
    beside
}

/// Rows that windows did not take, by grain.
struct Missed {
    late: Vec<Option<BooleanBuffer>>,
    corrected: Vec<u64>,
}

impl Missed {
    /// The late rows: not on time, and neither null, bad nor a duplicate.
    fn new(
        any: bool,
        on_time: &[Option<BooleanBuffer>],
        found: &Found,
        readings: &Readings,
    ) -> Missed {
        if !any {
            return Missed {
                late: Vec::new(),
                corrected: Vec::new(),
            };
        }
        let mut counts = counted(readings);
        if let Some(twice) = &found.duplicates {
            counts = &counts & &!twice;
        }
        let late = on_time
            .iter()
            .map(|m| m.as_ref().map(|m| &counts & &!m))
            .collect();
        Missed {
            late,
            corrected: Vec::new(),
        }
    }
}

fn is_null(readings: &Readings, i: usize) -> bool {
    readings.values.iter().all(|v| v.is_null(i))
}

/// Rows with a value that are not of quality bad.
fn counted(readings: &Readings) -> BooleanBuffer {
    let bad = |i: usize| {
        readings
            .quality
            .as_ref()
            .is_some_and(|q| q[i] == Quality::Bad as u8)
    };
    BooleanBuffer::collect_bool(readings.len(), |i| !bad(i) && !is_null(readings, i))
}

fn greatest_end(readings: &Readings, delta: Option<&Delta>) -> Option<i64> {
    match delta {
        _ if readings.is_empty() => None,
        Some(delta) => Some(delta.stats().max_end),
        None => (0..readings.len()).map(|i| end(readings, i)).max(),
    }
}

fn rejected(reject: &Reject) -> String {
    format!(
        "row {} of {}: {}; set the clock, raise `ahead`, or pass on_reject = collect",
        reject.row, reject.file, reject.reason
    )
}
