//! The relay as a process: kills, full disks, reloads, hostile clients, traces.

mod backup;
mod bundled;
mod credentials;
mod destinations;
mod disk;
mod hostile;
mod kill;
mod listener;
mod log_flood;
mod reload;
mod rotation;
mod saved_mapping;
mod secrets;
mod service_manager;
mod signs_of_life;
mod start_errors;
mod tls;
mod traces;
