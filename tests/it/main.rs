//! Longshore from outside: real Redis, real Postgres, real processes, real signals, and the simulator's
//! invoice as the other side of the books.

mod road;
