//! The relay as a process: kills, full disks, reloads, attackers, traces.

mod destinations;
mod disk;
mod hostile;
mod kill;
mod listener;
mod log_flood;
mod reload;
mod secrets;
mod traces;
