//! One client's connection.

use std::{
    future::{Future, pending},
    io,
    pin::pin,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{
    control::control,
    exchange::{End, Outcome, exchange, route},
    http::{MAX_BODY, Parsed, parse, respond},
    invoice::BillKey,
    state::State,
};

/// How far requests are read ahead of their answers, in bytes.
const READ_AHEAD: usize = MAX_BODY + 1024 * 1024;

/// Serves requests until either side closes. An error means that the client has left.
pub(super) async fn serve(stream: TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut link = Link {
        stream,
        input: Vec::with_capacity(8 * 1024),
        taken: 0,
        output: Vec::with_capacity(8 * 1024),
        scratch: Vec::with_capacity(4 * 1024),
        unanswered: Vec::new(),
    };
    let mut told_to_continue = false;
    loop {
        match link.step(state) {
            Step::Read { expects_continue } => {
                if expects_continue && !told_to_continue {
                    told_to_continue = true;
                    link.output
                        .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                link.flush(state).await?;
                link.forget_taken();
                if link.stream.read_buf(&mut link.input).await? == 0 {
                    return Ok(());
                }
            }
            Step::Refuse => {
                link.flush(state).await?;
                return link.stream.shutdown().await;
            }
            Step::Do {
                outcome,
                mark,
                keep_alive,
            } => {
                told_to_continue = false;
                if !link.finish(state, outcome, mark).await? {
                    return Ok(());
                }
                if !keep_alive {
                    link.flush(state).await?;
                    return link.stream.shutdown().await;
                }
            }
        }
    }
}

struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of the input has been processed.
    taken: usize,
    /// Answers that are not written yet: those to a batch of pipelined requests go out together.
    output: Vec<u8>,
    scratch: Vec<u8>,
    /// The bills of the answers in the output.
    unanswered: Vec<BillKey>,
}

enum Step<'s> {
    /// The request is incomplete.
    Read { expects_continue: bool },
    /// The request is invalid; the reason is in the output.
    Refuse,
    /// The response, if any, begins at `mark` in the output.
    Do {
        outcome: Outcome<'s>,
        mark: usize,
        keep_alive: bool,
    },
}

impl Link {
    fn step<'s>(&mut self, state: &'s State) -> Step<'s> {
        let request = match parse(self.input.get(self.taken..).unwrap_or_default()) {
            Ok(Parsed::Whole(request)) => request,
            Ok(Parsed::Partial { expects_continue }) => return Step::Read { expects_continue },
            Err(reason) => {
                let body = format!("{{\"error\":\"{reason}\"}}");
                respond(
                    &mut self.output,
                    400,
                    "application/json",
                    "connection: close\r\n",
                    body.as_bytes(),
                );
                return Step::Refuse;
            }
        };
        let mark = self.output.len();
        let outcome = match route(request.head.path) {
            Some(target) if request.head.method == "POST" => {
                exchange(state, target, &request, &mut self.output, &mut self.scratch)
            }
            _ => Outcome {
                delay: Duration::ZERO,
                held: false,
                end: End::Respond(control(state, &request, &mut self.output)),
                bill: None,
                flight: None,
            },
        };
        let keep_alive = request.head.keep_alive;
        self.taken += request.length;
        Step::Do {
            outcome,
            mark,
            keep_alive,
        }
    }

    /// Waits as the outcome requires; false if the connection is closed.
    async fn finish(
        &mut self,
        state: &State,
        outcome: Outcome<'_>,
        mark: usize,
    ) -> io::Result<bool> {
        let Outcome {
            delay,
            held,
            end,
            bill,
            flight,
        } = outcome;
        if held || !delay.is_zero() || !matches!(end, End::Respond(_)) {
            // Earlier answers do not wait for this one.
            let response = self.output.split_off(mark);
            self.flush(state).await?;
            self.output = response;
            let over = async {
                match end {
                    End::Hang => pending().await,
                    _ if held => state.released().await,
                    _ => {}
                }
                sleep(delay).await;
            };
            if !self.wait(over).await {
                if let Some(flight) = flight {
                    flight.abandoned();
                }
                return Ok(false);
            }
        }
        match (end, flight) {
            (End::Respond(status), Some(flight)) => flight.answered(status),
            (End::Respond(_), None) => {}
            (End::Close | End::Hang, flight) => {
                if let Some(flight) = flight {
                    flight.dropped();
                }
                return Ok(false);
            }
        }
        self.unanswered.extend(bill);
        Ok(true)
    }

    /// Waits until something is over; false if the client disconnects meanwhile.
    async fn wait(&mut self, over: impl Future<Output = ()>) -> bool {
        self.forget_taken();
        let mut over = pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return true,
                read = self.stream.read_buf(&mut self.input), if self.input.len() < READ_AHEAD => {
                    if !matches!(read, Ok(more) if more > 0) {
                        return false;
                    }
                }
            }
        }
    }

    async fn flush(&mut self, state: &State) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.output.clear();
            state.invoice.answered(&mut self.unanswered);
        }
        Ok(())
    }

    fn forget_taken(&mut self) {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
    }
}
