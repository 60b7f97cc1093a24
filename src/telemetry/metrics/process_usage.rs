//! What the operating system says of this process, under the names that all client libraries of
//! Prometheus use.

use std::sync::atomic::AtomicU64;
use std::time::Duration;
use std::{fs, io};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Use of the machine by this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProcessUsage {
    /// Time on the processors, of all threads, by the program and by the system for it.
    pub(super) cpu: Duration,
    pub(super) open_files: usize,
    /// None if there is no limit.
    pub(super) open_files_max: Option<u64>,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    /// Time of the start since 1970.
    pub(super) started: Duration,
}

impl ProcessUsage {
    /// Reads the use at present; fails where there is no `/proc`, as on macOS.
    pub fn read() -> io::Result<ProcessUsage> {
        let (own, machine) =
            (fs::read_to_string("/proc/self/stat")?, fs::read_to_string("/proc/stat")?);
        let page_bytes = u64::try_from(page_size()).unwrap_or(u64::MAX);
        let units = Units { tick_hz: clock_ticks_per_second(), page_bytes };
        let usage = parse(&own, &machine, units);
        let mut usage =
            usage.ok_or_else(|| io::Error::other("/proc/self/stat has another form"))?;
        // Without the one that reads the folder.
        usage.open_files = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
        usage.open_files_max = getrlimit(Resource::Nofile).current;
        Ok(usage)
    }

    pub(super) fn registry(self) -> Registry {
        let mut registry = Registry::with_prefix("process");
        let cpu: Counter<f64, AtomicU64> = Counter::default();
        cpu.inc_by(self.cpu.as_secs_f64());
        registry.register("cpu_seconds", "Time on the processors, by the program and for it", cpu);
        let open = gauge(u64::try_from(self.open_files).unwrap_or(u64::MAX));
        registry.register("open_fds", "Open files and connections", open);
        if let Some(most) = self.open_files_max {
            registry.register("max_fds", "Open files and connections at most", gauge(most));
        }
        let resident = gauge(self.resident_bytes);
        registry.register("resident_memory_bytes", "Memory in use", resident);
        let reserved = gauge(self.virtual_bytes);
        registry.register("virtual_memory_bytes", "Address space in use", reserved);
        let started: Gauge<f64, AtomicU64> = Gauge::default();
        started.set(self.started.as_secs_f64());
        registry.register("start_time_seconds", "Time of the start since 1970", started);
        registry
    }
}

fn gauge(value: u64) -> Gauge {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

/// Units in which the system counts.
#[derive(Debug, Clone, Copy)]
struct Units {
    tick_hz: u64,
    page_bytes: u64,
}

/// Parses `/proc/self/stat` and the time of the machine's start in `/proc/stat`.
fn parse(own: &str, machine: &str, units: Units) -> Option<ProcessUsage> {
    // The second field is the program's name in parentheses, which may have spaces in it.
    let (_, own) = own.rsplit_once(") ")?;
    // The first of these is the third field in the manual page proc_pid_stat(5).
    let fields: Vec<&str> = own.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1_000) / units.tick_hz);
    let booted =
        machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(ProcessUsage {
        cpu: ticks(field(14)? + field(15)?),
        open_files: 0,
        open_files_max: None,
        resident_bytes: field(24)?.saturating_mul(units.page_bytes),
        virtual_bytes: field(23)?,
        started: Duration::from_secs(booted) + ticks(field(22)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_whatever_the_name_of_the_program() {
        let own = "7 (a) b (c) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 12345 9000000 25 \
                   18446744073709551615 1 1 0 0 0 0 0 4096 17663 0 0 0 17 1 0 0 0 0 0";
        let machine = "cpu 1 2 3\nbtime 1700000000\nprocesses 5\n";
        let units = Units { tick_hz: 100, page_bytes: 4096 };

        let usage = parse(own, machine, units).unwrap();

        assert_eq!(usage.cpu, Duration::from_secs(2));
        assert_eq!((usage.resident_bytes, usage.virtual_bytes), (102_400, 9_000_000));
        assert_eq!(usage.started, Duration::from_millis(1_700_000_123_450));
        assert!(parse("7 (a)", machine, units).is_none());
        assert!(parse(own, "cpu 1", units).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn usage_of_this_process_is_read() {
        let usage = ProcessUsage::read().unwrap();

        assert!(usage.open_files > 0 && usage.resident_bytes > 0, "{usage:?}");
        assert!(usage.virtual_bytes > usage.resident_bytes, "{usage:?}");
    }
}
