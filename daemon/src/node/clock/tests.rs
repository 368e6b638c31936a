//! The clock of a node under wall clocks that are moved, wrong, or put right.

use icn_gossip::Mutation;
use icn_snapshot::{PointInTime, state_at};
use icn_wal::Lsn;
use icn_wal::disk::SimDisk;

use super::*;
use crate::control::request::Request;
use crate::node::machine::Machine;
use crate::node::{Effect, Inputs, Node, Output, simulated};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const WALL_MS: u64 = 20_000 * DAY_MS;

/// Both clocks after so many ms of running, with the wall clock moved by `moved_ms`.
fn at(run_ms: u64, moved_ms: i64) -> Now {
    let wall_ms = (WALL_MS + run_ms).saturating_add_signed(moved_ms);
    Now::of_machine(wall_ms, 500 + run_ms)
}

fn days(days: i64) -> i64 {
    days * to_i64(DAY_MS)
}

fn stamp(node_ms: u64, wall_ms: u64) -> ClockStamp {
    ClockStamp { node_ms, wall_ms, ran_ms: 0, boot: None, budget_ms: ClockStamp::BUDGET_MS_MAX }
}

fn boot(digit: char) -> Option<BootId> {
    let text = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".replace('x', &digit.to_string());
    Some(text.parse().expect("a boot"))
}

/// The clock of a node that starts after a stamp in another boot.
fn after(stamp: ClockStamp, now: Now) -> NodeClock {
    NodeClock::start(
        now,
        boot('b'),
        LastRun { stamp: Some(stamp), received_ms: None, lsn: 1, ran_ms: 0 },
    )
}

/// The clock of a new node that starts at 0 in boot a.
fn new_node() -> NodeClock {
    let last = LastRun { stamp: None, received_ms: None, lsn: 0, ran_ms: 0 };
    let mut clock = NodeClock::start(at(0, 0), boot('a'), last);
    clock.stamped(at(0, 0), 1);
    clock
}

#[test]
fn a_moved_wall_clock_moves_nothing_and_is_in_doubt_until_it_is_back_or_confirmed() {
    let mut clock = new_node();
    assert_eq!(clock.read(at(0, 0)).node_ms, WALL_MS);
    for moved in [days(40), -days(40), 61_000, -61_000] {
        clock.observe(at(1000, moved));
        assert_eq!(clock.doubt(), Some(ClockDoubt::Moved(moved)));
        assert_eq!(clock.read(at(1000, moved)).node_ms, WALL_MS + 1000);
        // A stamp keeps to the wall clock that was trusted.
        let stamp = clock.stamp(at(1000, moved));
        assert_eq!((stamp.node_ms, stamp.wall_ms), (WALL_MS + 1000, WALL_MS + 1000));
        clock.observe(at(2000, 0));
        assert_eq!(clock.doubt(), None);
    }
    let confirmed = clock.confirmed(at(3000, days(3)));
    assert_eq!(confirmed.doubt(), None);
    let mut later = confirmed;
    later.observe(at(DAY_MS, days(3)));
    assert_eq!(later.doubt(), None);
}

#[test]
fn a_slewed_wall_clock_is_followed_and_one_that_runs_away_is_in_doubt() {
    for (ms_per_minute, is_doubtful) in [(5000, false), (-5000, false), (20_000, true)] {
        let mut clock = new_node();
        for minute in 1..60 {
            clock.observe(at(60_000 * minute, ms_per_minute * to_i64(minute)));
        }
        assert_eq!(clock.doubt().is_some(), is_doubtful, "{ms_per_minute}");
    }
}

#[test]
fn a_plausible_time_between_runs_counts_and_any_other_waits_to_be_confirmed() {
    let stamp = stamp(WALL_MS - 5, WALL_MS);
    for (down, counted) in [(0, 0), (days(7), days(7)), (-50_000, 0)] {
        let clock = after(stamp, at(0, down));
        assert_eq!(clock.doubt(), None, "{down}");
        let expected = stamp.node_ms.saturating_add_signed(counted);
        assert_eq!(clock.read(at(0, down)).node_ms, expected);
    }
    for down in [days(8), -days(1), days(3650)] {
        let mut clock = after(stamp, at(0, down));
        assert_eq!(clock.doubt(), Some(ClockDoubt::Down(down)));
        assert_eq!(clock.read(at(0, down)).node_ms, stamp.node_ms);
        // A stamp in doubt leaves the question to the next start.
        let again = after(clock.stamp(at(5000, down)), at(5000, down));
        assert_eq!(again.doubt(), Some(ClockDoubt::Down(down)));
        let confirmed = clock.confirmed(at(0, down));
        assert_eq!(confirmed.doubt(), None);
        let counted = stamp.node_ms.saturating_add_signed(down.max(0));
        assert_eq!(confirmed.read(at(0, down)).node_ms, counted);
        // The wall clock is put right while the node runs.
        clock.observe(at(1000, days(2)));
        assert_eq!(clock.doubt(), None);
        assert_eq!(clock.read(at(1000, days(2))).node_ms, stamp.node_ms + 2 * DAY_MS + 1000);
    }
}

#[test]
fn a_confirmed_clock_advances_by_the_time_between_runs_and_fires_no_timer() {
    let disk = SimDisk::new(1);
    drop(simulated::node_at(&disk, at(0, 0), None));
    let late = |run_ms| at(run_ms, days(42));
    let mut node = simulated::node_at(&disk.kill(), late(0), None);
    let mut step = |now, line: &str| {
        let request = Request::from_line(line.as_bytes()).expect("request");
        let inputs = Inputs { tick: true, ..Inputs::requests(vec![((), request)]) };
        let mut due = 0;
        for Output { effect, .. } in node.step(now, inputs).outputs {
            match effect {
                Effect::Save(draft, _) => {
                    node.store().compactor().save(draft.image).expect("a snapshot");
                    node.saved(now, Ok(()));
                }
                Effect::Reply(..) => {}
                other => panic!("{other:?}"),
            }
            due += 1;
        }
        (node.clocks(), due)
    };
    let (before, created) = step(late(1000), r#"{"v":1,"cmd":"snapshot_create"}"#);
    assert_eq!((before.doubt, created), (Some(ClockDoubt::Down(days(42))), 1));
    step(late(1500), r#"{"v":1,"cmd":"clock_confirm"}"#);
    let (after, due) = step(late(2000), r#"{"v":1,"cmd":"clock_show"}"#);
    assert_eq!(after.node - before.node, 42 * DAY_MS + 1000);
    assert_eq!((after.doubt, due), (None, 1), "the reply, and neither a snapshot nor a scrub");
}

#[test]
fn within_a_boot_the_time_between_runs_is_exact_and_a_moved_wall_clock_stays_in_doubt() {
    let stamp = new_node().stamp(at(1000, 0));
    let again = |stamp, boot, now| {
        NodeClock::start(
            now,
            boot,
            LastRun { stamp: Some(stamp), received_ms: None, lsn: 1, ran_ms: 0 },
        )
    };
    let later = 3 * DAY_MS;
    for moved in [0, days(3), -days(3), 400_000, 61_000] {
        let is_moved = moved.unsigned_abs() > 300_000;
        let doubt = is_moved.then_some(ClockDoubt::Moved(moved));
        let mut clock = again(stamp, boot('a'), at(later, moved));
        assert_eq!(clock.doubt(), doubt, "{moved}");
        assert_eq!(clock.read(at(later, moved)).node_ms, WALL_MS + later, "{moved}");
        // So it is after another start, until the wall clock is put back.
        let now = at(later + 1000, moved);
        assert_eq!(again(clock.stamp(now), boot('a'), now).doubt(), doubt, "{moved}");
        if is_moved {
            clock.observe(at(later + 2000, 0));
            assert_eq!(clock.doubt(), None);
        }
        assert_eq!(clock.confirmed(at(later + 3000, moved)).doubt(), None);
    }
    // In another boot, only the wall clock shows how long the node was down.
    for (boot, now) in [
        (boot('b'), at(later, days(2))),
        (None, at(later, days(2))),
        (boot('a'), Now { elapsed_ms: 3, ..at(later, days(2)) }),
    ] {
        let clock = again(stamp, boot, now);
        assert_eq!(clock.doubt(), None);
        assert_eq!(clock.read(now).node_ms, now.wall_ms);
    }
    let unknown = ClockStamp { boot: None, ..stamp };
    assert_eq!(
        again(unknown, boot('a'), at(later, days(9))).doubt(),
        Some(ClockDoubt::Down(days(12) - 1000))
    );
}

/// The stamp at the end of a boot of `run_ms`, before which the node was down for `down_ms`, by a wall clock
/// that is right from then on; and the doubt at its start.
fn next_boot(before: ClockStamp, down_ms: u64, run_ms: u64) -> (ClockStamp, Option<ClockDoubt>) {
    let wall_ms = before.wall_ms + down_ms;
    let clock = after(before, Now::of_machine(wall_ms, 9));
    (clock.stamp(Now::of_machine(wall_ms + run_ms, 9 + run_ms)), clock.doubt())
}

#[test]
fn a_machine_that_is_off_every_night_is_never_in_doubt() {
    let hours = |hours: u64| hours * 60 * 60 * 1000;
    let mut last = stamp(WALL_MS, WALL_MS);
    for day in 1..=400 {
        let (stamp, doubt) = next_boot(last, hours(16), hours(8));
        assert_eq!(doubt, None, "day {day}");
        assert_eq!(stamp.node_ms, WALL_MS + day * DAY_MS);
        last = stamp;
    }
    let (last, doubt) = next_boot(last, 6 * DAY_MS, hours(8));
    assert_eq!(doubt, None, "a week of holidays");
    assert_eq!(last.budget_ms, DAY_MS + 7 * hours(8));
}

#[test]
fn wall_clocks_that_are_wrong_at_every_boot_age_entries_by_the_budget_alone() {
    const RUN_MS: u64 = 60 * 60 * 1000;
    let mut last = stamp(WALL_MS, WALL_MS);
    let mut doubts = 0;
    for boot in 1..=100 {
        let (stamp, doubt) = next_boot(last, DAY_MS, RUN_MS);
        doubts += u64::from(doubt.is_some());
        last = stamp;
        let aged_ms = last.node_ms - WALL_MS - boot * RUN_MS;
        assert!(aged_ms <= 7 * (boot * RUN_MS + DAY_MS), "{boot}: {aged_ms}");
    }
    assert!(doubts > 50, "{doubts}");
}

#[test]
fn a_time_between_runs_beyond_the_budget_counts_once_the_budget_has_grown_or_it_is_confirmed() {
    let little = ClockStamp { budget_ms: DAY_MS, ..stamp(WALL_MS, WALL_MS) };
    let down = days(2);
    let mut clock = after(little, at(0, down));
    assert_eq!(clock.doubt(), Some(ClockDoubt::Down(down)));
    let confirmed = clock.confirmed(at(0, down)).stamp(at(0, down));
    let whole = ClockStamp::BUDGET_MS_MAX;
    assert_eq!((confirmed.node_ms, confirmed.budget_ms), (WALL_MS + 2 * DAY_MS, whole));
    let grown = DAY_MS / 7 + 1;
    clock.observe(at(grown - 1000, down));
    assert_eq!(clock.doubt(), Some(ClockDoubt::Down(down)));
    clock.observe(at(grown, down));
    assert_eq!(clock.doubt(), None);
    let stamp = clock.stamp(at(grown, down));
    assert_eq!(stamp.node_ms, WALL_MS + 2 * DAY_MS + grown);
    assert!(stamp.budget_ms < 10, "{}", stamp.budget_ms);
    clock.stamped(at(grown, down), 2);
    assert!(clock.is_stamp_due(at(grown + STAMP_MS, down), 2), "the budget has grown");
}

#[test]
fn an_entry_after_the_stamp_adds_no_time_that_has_passed_before_it() {
    for received_ms in [WALL_MS, WALL_MS + 1000, WALL_MS + DAY_MS] {
        let stamp = Some(stamp(WALL_MS, WALL_MS));
        let last = LastRun { stamp, received_ms: Some(received_ms), lsn: 2, ran_ms: 0 };
        let clock = NodeClock::start(at(DAY_MS, 0), boot('b'), last);
        assert_eq!(clock.doubt(), None);
        assert_eq!(clock.read(at(DAY_MS, 0)).node_ms, WALL_MS + DAY_MS, "{received_ms}");
    }
}

#[test]
fn every_boot_is_stamped_once_the_wall_clock_has_settled() {
    let far = stamp(WALL_MS, WALL_MS);
    let mut clock = after(far, at(0, 0));
    assert!(!clock.is_stamp_due(at(SETTLES_MS - 1, 0), 1), "the network may still set it");
    assert!(clock.is_stamp_due(at(SETTLES_MS, 0), 1));
    let named = clock.stamp(at(7, 0)).boot.expect("a boot");
    assert_eq!((Some(named.id), named.elapsed_ms), (boot('b'), 507));
    clock.stamped(at(SETTLES_MS, 0), 2);
    assert!(!clock.is_stamp_due(at(DAY_MS, 0), 2));
    let doubtful = after(far, at(0, days(40)));
    assert!(!doubtful.is_stamp_due(at(DAY_MS, days(40)), 1));
    assert_eq!(doubtful.stamp(at(DAY_MS, days(40))).boot, None, "the next start asks again");
}

#[test]
fn a_wall_clock_that_the_network_sets_after_the_start_shows_how_long_the_node_was_down() {
    let stamp = stamp(WALL_MS, WALL_MS);
    // Without a battery, the machine starts with the time of its last stop.
    let mut clock = after(stamp, at(0, 0));
    assert_eq!(clock.doubt(), None);
    clock.observe(at(5000, days(3)));
    assert_eq!(clock.doubt(), None);
    assert_eq!(clock.read(at(5000, days(3))).node_ms, WALL_MS + 3 * DAY_MS + 5000);
    clock.observe(at(SETTLES_MS + 1, days(5)));
    assert_eq!(clock.doubt(), Some(ClockDoubt::Moved(days(2))), "too late for that");
}

#[test]
fn a_new_node_that_began_in_1970_takes_the_time_that_the_network_sets() {
    let at = |wall_ms| Now::of_machine(wall_ms, 5000);
    let last = LastRun { stamp: None, received_ms: None, lsn: 0, ran_ms: 0 };
    for (began_ms, set_ms, is_doubtful) in [
        (5000, FIRST_NODE_MS, false),
        (FIRST_NODE_MS - 1, FIRST_NODE_MS + 40 * DAY_MS, false),
        (FIRST_NODE_MS, FIRST_NODE_MS + 40 * DAY_MS, true),
        (FIRST_NODE_MS, 5000, true),
    ] {
        let mut clock = NodeClock::start(at(began_ms), None, last);
        clock.observe(at(set_ms));
        assert_eq!(clock.doubt().is_some(), is_doubtful, "{began_ms} {set_ms}");
        assert_eq!(clock.read(at(set_ms)).node_ms, began_ms, "no age follows it");
    }
}

#[test]
fn after_a_boot_in_1970_the_time_that_the_network_sets_adds_nothing() {
    let in_1970 = stamp(5000, 5000);
    let right = Now::of_machine(WALL_MS, 3000);
    for mut clock in [after(in_1970, Now::of_machine(9000, 2000)), after(in_1970, right)] {
        clock.observe(right);
        assert_eq!(clock.doubt(), None);
        assert!(clock.read(right).node_ms < 20_000, "{}", clock.read(right).node_ms);
        assert_eq!(clock.stamp(right).wall_ms, WALL_MS);
    }
}

#[test]
fn short_runs_in_one_boot_are_stamped_as_often_as_a_long_one() {
    let mut clock = new_node();
    let mut last = clock.stamp(at(BOOT_STAMP_MS, 0));
    clock.stamped(at(BOOT_STAMP_MS, 0), 2);
    let mut stamps = 0;
    let life_ms = STAMP_MS - 1;
    for life in 1..=10 {
        let start = at(BOOT_STAMP_MS + life * life_ms, 0);
        let run = LastRun { stamp: Some(last), received_ms: None, lsn: life, ran_ms: 0 };
        clock = NodeClock::start(start, boot('a'), run);
        let end = at(BOOT_STAMP_MS + (life + 1) * life_ms - 1, 0);
        if clock.is_stamp_due(end, life + 1) {
            last = clock.stamp(end);
            stamps += 1;
        }
    }
    assert!(stamps >= 5, "{stamps}");
    assert!(last.ran_ms >= 5 * life_ms - 5, "{}", last.ran_ms);
}

#[test]
fn the_running_time_goes_on_from_the_last_snapshot_if_no_stamp_followed() {
    let stamp = ClockStamp { ran_ms: 100, ..stamp(WALL_MS, WALL_MS) };
    for (snapshot_ms, ran_ms) in [(0, 100), (2500, 2500)] {
        let last = LastRun { stamp: Some(stamp), received_ms: None, lsn: 1, ran_ms: snapshot_ms };
        let clock = NodeClock::start(at(0, 0), boot('b'), last);
        assert_eq!(clock.ran_ms(at(7, 0)), ran_ms + 7);
    }
}

#[test]
fn a_node_without_a_stamp_starts_at_its_last_entry_and_believes_no_far_wall_clock() {
    for (last, down, node, is_doubtful) in [
        (WALL_MS, days(1), WALL_MS + DAY_MS, false),
        (WALL_MS, days(40), WALL_MS, true),
        // The last entry was written with a clock that was ahead, or the present one is behind.
        (WALL_MS + 3650 * DAY_MS, 0, WALL_MS, true),
    ] {
        let clock = NodeClock::start(
            at(0, down),
            boot('b'),
            LastRun { stamp: None, received_ms: Some(last), lsn: 1, ran_ms: 0 },
        );
        assert_eq!(clock.read(at(0, down)).node_ms, node, "{last} {down}");
        assert_eq!(clock.doubt().is_some(), is_doubtful, "{last} {down}");
    }
}

#[test]
fn a_clock_is_stamped_hourly_after_records_and_rarely_without() {
    let mut clock = new_node();
    assert!(!clock.is_stamp_due(at(STAMP_MS, 0), 1), "nothing was recorded");
    assert!(!clock.is_stamp_due(at(STAMP_MS - 1, 0), 2), "too early");
    assert!(clock.is_stamp_due(at(STAMP_MS, 0), 2));
    clock.stamped(at(STAMP_MS, 0), 3);
    assert!(!clock.is_stamp_due(at(STAMP_MS * 2, 0), 3), "the stamp is the last record");
    assert!(clock.is_stamp_due(at(STAMP_MS * 2, 0), 4));
    assert!(clock.is_stamp_due(at(STAMP_MS + STAMP_IDLE_MS, 0), 3));
}

#[test]
fn a_node_counts_how_long_it_has_run_over_all_its_lives() {
    let disk = SimDisk::new(1);
    let mut node = simulated::node_at(&disk, at(0, 0), None);
    let run = |node: &mut Node<SimDisk>, now| {
        drop(node.step::<()>(now, Inputs::tick()));
        node.ran_ms()
    };
    simulated::apply(&mut node, at(0, 0), Mutation::BeginEpoch(1));
    assert_eq!(run(&mut node, at(2 * STAMP_MS, 0)), 2 * STAMP_MS);
    assert_eq!(run(&mut node, at(2 * STAMP_MS + 7, 0)), 2 * STAMP_MS + 7);
    node.close().expect("a stop");
    // The time between two runs does not count, nor does the end of a run without a stamp.
    let later = at(9 * STAMP_MS, 0);
    let mut node = simulated::node_at(&disk.kill(), later, None);
    assert_eq!(run(&mut node, later), 2 * STAMP_MS);
    assert_eq!(run(&mut node, at(9 * STAMP_MS + 5, days(40))), 2 * STAMP_MS + 5);
}

#[test]
fn a_start_ten_years_ahead_leaves_the_time_of_the_log_right() {
    const HOUR_MS: u64 = 60 * 60 * 1000;
    let turn = |node: &mut Node<SimDisk>, now, line: &str, tick| {
        let request = Request::from_line(line.as_bytes()).expect("request");
        drop(node.step(now, Inputs { tick, ..Inputs::requests(vec![((), request)]) }));
        let last = Lsn::new(node.store().lsn()).expect("a record");
        node.store().wal().wait(last).expect("durable");
        node.store().wal().stats().time_ms
    };
    let ask = |node: &mut Node<SimDisk>, now, line| turn(node, now, line, true);
    let create = r#"{"v":1,"cmd":"topic_create","name":"a"}"#;
    let publish = r#"{"v":1,"cmd":"publish","topic":"a","text":"one"}"#;
    let disk = SimDisk::new(1);
    let mut node = simulated::node_at(&disk, at(0, 0), boot('a'));
    ask(&mut node, at(0, 0), create);
    assert_eq!(ask(&mut node, at(HOUR_MS, 0), publish), WALL_MS + HOUR_MS);
    node.close().expect("a stop");
    let disk = disk.kill();
    let ahead = |hours| at(hours * HOUR_MS, days(3650));
    let mut node = simulated::node_at(&disk, ahead(2), boot('b'));
    // How long the node was down is unknown; the time of the log goes on from the last entry.
    assert_eq!(ask(&mut node, ahead(3), publish), WALL_MS + 2 * HOUR_MS);
    assert!(node.clock_doubt().is_some());
    assert_eq!(ask(&mut node, at(4 * HOUR_MS, 0), publish), WALL_MS + 4 * HOUR_MS);
    assert_eq!(node.clock_doubt(), None);
    // Set between two ticks.
    assert_eq!(turn(&mut node, ahead(5), publish, false), WALL_MS + 5 * HOUR_MS);
    node.close().expect("a stop");
    for (hour, entries) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 4)] {
        let time = PointInTime::Time(WALL_MS + hour * HOUR_MS);
        let then = state_at::<Machine, _>(&disk, time).expect("a state").state;
        assert_eq!(then.0.counts().entries, entries, "after {hour} h");
    }
}

#[test]
fn while_the_wall_clock_is_in_doubt_no_entry_expires_by_age() {
    let mut node = simulated::node(&SimDisk::new(1));
    let mut step = |now: Now, lines: &[&str]| {
        let request = |line: &&str| ((), Request::from_line(line.as_bytes()).expect("request"));
        let requests = lines.iter().map(request).collect();
        drop(node.step(now, Inputs { requests, tick: true, ..Inputs::default() }));
        node.state().counts().entries
    };
    let create = r#"{"v":1,"cmd":"topic_create","name":"a","retention_days":1}"#;
    let publish = r#"{"v":1,"cmd":"publish","topic":"a","text":"one"}"#;
    assert_eq!(step(Now::at(1), &[create, publish]), 1);
    let moved = Now::of_machine(40 * DAY_MS, 2 * DAY_MS);
    assert_eq!(step(moved, &[]), 1, "its day is over, and the wall clock was set");
    assert_eq!(step(Now::at(2 * DAY_MS), &[]), 0, "the wall clock is right again");
}
