//! What runs beside the jobs: the heartbeat, maintenance, and the control channel.

pub(crate) mod control_channel;
pub(crate) mod heartbeat;
pub(crate) mod maintenance;
