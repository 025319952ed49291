//! Longshore from outside: real Redis, real Postgres, real processes, real signals, and the simulator's
//! invoice as the other side of the books.

mod bad_input;
mod chaos;
mod cli;
mod clients;
mod crash;
mod identity;
mod model;
mod road;
mod scripts;
mod time;
