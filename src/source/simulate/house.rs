//! One simulated household: believable load, a pure function of seed and local minute, so that
//! any minute can be asked for in any order. No library mathematics beyond the square root, so
//! that every machine gives the same bits.

const DAY: i64 = 1440;

/// What the meter shows in a minute, as scaled integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Mean active power, W.
    pub active: i32,
    /// Mean reactive power, var.
    pub reactive: i32,
    /// Mean voltage, mV.
    pub voltage: i32,
    /// Mean current, mA.
    pub current: i32,
    /// Watt-hours in the minute: kitchen; laundry and fridge; water heater and air conditioner.
    pub sub: [i32; 3],
}

/// An appliance that runs from one minute of its day to another.
#[derive(Clone, Copy)]
struct Run {
    from: i64,
    to: i64,
    watts: i32,
    /// Sub meter, 3: none.
    meter: usize,
}

/// A household; keeps the plans of the two days last asked for.
pub(super) struct House {
    seed: u64,
    days: [(i64, Vec<Run>); 2],
}

/// Mixes a seed and a number into 64 even bits.
pub(super) fn mix(seed: u64, n: u64) -> u64 {
    let mut x = seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A number in [0, 1).
pub(super) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Draws from one day's own sequence.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 = mix(self.0, 1);
        unit(self.0)
    }

    fn chance(&mut self, p: f64) -> bool {
        self.next() < p
    }

    fn whole(&mut self, from: i64, to: i64) -> i64 {
        from + (self.next() * (to - from) as f64) as i64
    }
}

/// 1 in mid January, 0 in mid July, smooth between.
fn winter(day: i64) -> f64 {
    let turn = ((day - 14) as f64 / 365.25).rem_euclid(1.0);
    let x = (2.0 * turn - 1.0).abs();
    x * x * (3.0 - 2.0 * x)
}

impl House {
    pub(super) fn new(seed: u64) -> Self {
        House {
            seed,
            days: [(i64::MIN, Vec::new()), (i64::MIN, Vec::new())],
        }
    }

    /// The reading of a minute, counted from 1970-01-01 00:00 of the local clock.
    pub(super) fn sample(&mut self, minute: i64) -> Sample {
        let (day, of_day) = (minute.div_euclid(DAY), minute.rem_euclid(DAY));
        let noise = mix(self.seed, minute as u64);
        let mut metered = [0; 3];
        let mut rest = self.base(day, of_day, noise);
        for (back, plan_day) in [(0, day), (DAY, day - 1)] {
            let now = of_day + back;
            for run in self
                .plan(plan_day)
                .iter()
                .filter(|r| r.from <= now && now < r.to)
            {
                match metered.get_mut(run.meter) {
                    Some(meter) => *meter += run.watts,
                    None => rest += run.watts,
                }
            }
        }
        let fridge = if (minute + (self.seed % 45) as i64).rem_euclid(45) < 16 {
            85
        } else {
            0
        };
        metered[1] += fridge;
        self.meter(minute, noise, rest, metered, fridge > 0)
    }

    /// Lights, screens, standby and heating, which no sub meter sees.
    fn base(&self, day: i64, of_day: i64, noise: u64) -> i32 {
        let awake = (390..1410).contains(&of_day);
        let evening = (1020..1395).contains(&of_day);
        let cold = winter(day);
        let mut watts = 215.0 + 25.0 * unit(mix(noise, 2));
        if awake && !away(self.seed, day) {
            watts += 60.0 + 50.0 * self.slow(day * 48 + of_day / 30, of_day % 30, 30);
        }
        if evening && !away(self.seed, day) {
            watts += 110.0 + 170.0 * cold + 60.0 * unit(mix(noise, 3));
        }
        let heating = if awake { 1500.0 } else { 500.0 };
        let level = self.slow(day * 24 + of_day / 60, of_day % 60, 60);
        let home = if away(self.seed, day) { 0.25 } else { 1.0 };
        (watts + heating * home * (cold - 0.35).max(0.0) * (0.4 + level)) as i32
    }

    /// A number in [0, 1) that goes smoothly from one block of time to the next.
    fn slow(&self, block: i64, part: i64, parts: i64) -> f64 {
        let at = |b: i64| unit(mix(self.seed ^ 0x51_0E, b as u64));
        let share = part as f64 / parts as f64;
        at(block) * (1.0 - share) + at(block + 1) * share
    }

    fn plan(&mut self, day: i64) -> &[Run] {
        let slot = day.rem_euclid(2) as usize;
        if self.days[slot].0 != day {
            self.days[slot] = (day, plan(self.seed, day));
        }
        &self.days[slot].1
    }

    fn meter(&self, minute: i64, noise: u64, rest: i32, metered: [i32; 3], fridge: bool) -> Sample {
        let active = (rest + metered.iter().sum::<i32>()) & !1;
        let motors = if fridge { 90 } else { 20 } + metered[1] / 9;
        let reactive = (motors + (110.0 * unit(mix(noise, 4))) as i32) & !1;
        let drift = self.slow(minute.div_euclid(180), minute.rem_euclid(180), 180);
        let wobble = unit(mix(noise, 5)) + unit(mix(noise, 6)) - 1.0;
        let voltage = 242_600.0 + 4_000.0 * (drift - 0.5) + 900.0 * wobble
            - 520.0 * f64::from(active) / 1000.0;
        let voltage = (voltage / 10.0) as i32 * 10;
        let apparent = f64::from(active).hypot_exact(f64::from(reactive));
        let amperes = apparent * 1000.0 / f64::from(voltage);
        let mut sub = [0; 3];
        for (i, (to, watts)) in sub.iter_mut().zip(metered).enumerate() {
            let carry = (unit(mix(noise, 7 + i as u64)) * 60.0) as i32;
            *to = (watts + carry) / 60;
        }
        Sample {
            active,
            reactive,
            voltage,
            current: (amperes * 5.0).round() as i32 * 200,
            sub,
        }
    }
}

trait Hypot {
    fn hypot_exact(self, other: f64) -> f64;
}

impl Hypot for f64 {
    /// The same bits on every machine, which the library's own does not promise.
    fn hypot_exact(self, other: f64) -> f64 {
        (self * self + other * other).sqrt()
    }
}

/// Nobody at home: single days, and two weeks of most Augusts.
fn away(seed: u64, day: i64) -> bool {
    let year = (day as f64 / 365.2425) as i64;
    let of_year = day - (year as f64 * 365.2425) as i64;
    let leave = 205 + (mix(seed ^ 0xA1, year as u64) % 25) as i64;
    (leave..leave + 14).contains(&of_year) || unit(mix(seed ^ 0xA2, day as u64)) < 0.02
}

fn plan(seed: u64, day: i64) -> Vec<Run> {
    let mut dice = Dice(mix(seed ^ 0xDA7, day as u64));
    let mut runs = Vec::with_capacity(16);
    water(&mut dice, &mut runs);
    if away(seed, day) {
        return runs;
    }
    // 1970-01-01 was a Thursday.
    let weekend = (day + 3).rem_euclid(7) >= 5;
    kitchen(&mut dice, weekend, &mut runs);
    laundry(&mut dice, weekend, &mut runs);
    cooling(&mut dice, 1.0 - winter(day), &mut runs);
    runs
}

fn run(runs: &mut Vec<Run>, meter: usize, from: i64, minutes: i64, watts: i64) {
    runs.push(Run {
        from,
        to: from + minutes,
        watts: watts as i32,
        meter,
    });
}

fn water(dice: &mut Dice, runs: &mut Vec<Run>) {
    let night = dice.whole(60, 150);
    run(runs, 2, night, dice.whole(90, 190), 1080);
    if dice.chance(0.8) {
        let morning = dice.whole(400, 470);
        run(runs, 2, morning, dice.whole(25, 75), 1070);
    }
}

fn kitchen(dice: &mut Dice, weekend: bool, runs: &mut Vec<Run>) {
    let late = if weekend { 90 } else { 0 };
    for _ in 0..dice.whole(1, 4) {
        let at = dice.whole(395, 470) + late;
        run(runs, 0, at, dice.whole(3, 7), dice.whole(1500, 2200));
    }
    if dice.chance(if weekend { 0.65 } else { 0.2 }) {
        let at = dice.whole(690, 760);
        run(runs, 0, at, dice.whole(20, 55), dice.whole(900, 2100));
    }
    if dice.chance(0.8) {
        let at = dice.whole(1100, 1190);
        run(runs, 0, at, dice.whole(25, 70), dice.whole(1000, 2300));
        run(runs, 3, at, dice.whole(30, 120), dice.whole(150, 700));
    }
    if dice.chance(0.45) {
        let at = dice.whole(1230, 1330);
        run(runs, 0, at, 18, 2050);
        run(runs, 0, at + 18, 35, 90);
        run(runs, 0, at + 53, 14, 1950);
    }
}

fn laundry(dice: &mut Dice, weekend: bool, runs: &mut Vec<Run>) {
    if !dice.chance(if weekend { 0.7 } else { 0.3 }) {
        return;
    }
    let at = dice.whole(540, 1080);
    run(runs, 1, at, dice.whole(14, 22), 2050);
    run(runs, 1, at + 22, dice.whole(30, 55), 260);
    if dice.chance(0.5) {
        run(runs, 1, at + 95, dice.whole(35, 70), dice.whole(2100, 2500));
    }
}

fn cooling(dice: &mut Dice, summer: f64, runs: &mut Vec<Run>) {
    if dice.chance((summer - 0.6) * 1.8) {
        let at = dice.whole(800, 960);
        run(runs, 2, at, dice.whole(60, 260), dice.whole(900, 1700));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_of_asking_gives_the_same_minutes() {
        let first = 19_000_000;
        let mut forward = House::new(7);
        let ahead: Vec<_> = (0..4000).map(|m| forward.sample(first + m)).collect();
        let mut backward = House::new(7);
        let mut behind: Vec<_> = (0..4000)
            .rev()
            .map(|m| backward.sample(first + m))
            .collect();
        behind.reverse();
        assert_eq!(ahead, behind);
        assert_ne!(
            ahead[0..100],
            (0..100)
                .map(|m| House::new(8).sample(first + m))
                .collect::<Vec<_>>()[..]
        );
    }

    #[test]
    fn a_year_is_believable_and_consistent() {
        let mut house = House::new(1);
        let (mut energy, mut months) = (0i64, [0i64; 2]);
        for minute in 0..365 * DAY {
            let s = house.sample(20_454 * DAY + minute);
            let apparent = (f64::from(s.active).powi(2) + f64::from(s.reactive).powi(2)).sqrt();
            let amperes = apparent * 1000.0 / f64::from(s.voltage);
            assert!((amperes - f64::from(s.current) / 1000.0).abs() <= 0.1001);
            assert!((220_000..256_000).contains(&s.voltage), "{s:?}");
            assert!(s.sub.iter().sum::<i32>() * 60 <= s.active, "{s:?}");
            energy += i64::from(s.active);
            match minute / DAY {
                0..31 => months[0] += i64::from(s.active),
                181..212 => months[1] += i64::from(s.active),
                _ => {}
            }
        }
        let kwh = energy / 60_000;
        assert!((3_000..16_000).contains(&kwh), "{kwh} kWh a year");
        assert!(
            months[0] > months[1] * 5 / 4,
            "winter takes more than summer: {months:?}"
        );
    }
}
