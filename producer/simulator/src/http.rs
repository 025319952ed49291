//! Just enough HTTP/1.1 to serve JSON: request heads with the few headers a provider looks at,
//! bodies of a known length or in chunks, and whole responses.
//!
//! A server library would prevent what the simulator must do: close a connection instead of answering, and
//! notice at once that a client has left. This code also uses less processor time per request than the
//! workers that are measured with it.

use std::io::Write as _;

/// The longest request head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The longest request body, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024 * 1024;

/// How a request delimits its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The head of a request. Headers that are absent are empty.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) authorization: &'a str,
    pub(super) x_api_key: &'a str,
    pub(super) x_goog_api_key: &'a str,
    pub(super) anthropic_version: &'a str,
    pub(super) idempotency_key: &'a str,
    pub(super) keep_alive: bool,
    expects_continue: bool,
    framing: Framing,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) head: Head<'a>,
    pub(super) body: Body<'a>,
    /// How many bytes of the input it consumed.
    pub(super) length: usize,
}

/// A request's body, with its chunks joined.
#[derive(Debug)]
pub(super) enum Body<'a> {
    Plain(&'a [u8]),
    Joined(Vec<u8>),
}

impl Body<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}

/// The state of the bytes received so far.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    Whole(Request<'a>),
    Partial {
        /// The client sends its body only after `100 Continue`.
        expects_continue: bool,
    },
}

/// Parses the request at the beginning of `input`. The error says why it is invalid.
pub(super) fn parse(input: &[u8]) -> Result<Parsed<'_>, &'static str> {
    let Some(end) = find(input, b"\r\n\r\n") else {
        return if input.len() > MAX_HEAD {
            Err("request head too long")
        } else {
            Ok(Parsed::Partial {
                expects_continue: false,
            })
        };
    };
    let (head, rest) = input
        .split_at_checked(end + 4)
        .ok_or("request head cut off")?;
    let head = std::str::from_utf8(head).map_err(|_| "request head is not UTF-8")?;
    let head = parse_head(head.trim_end())?;
    let partial = Parsed::Partial {
        expects_continue: head.expects_continue,
    };
    match head.framing {
        Framing::Length(length) if length > MAX_BODY => Err("request body too long"),
        Framing::Length(length) => Ok(match rest.get(..length) {
            Some(body) => Parsed::Whole(Request {
                head,
                body: Body::Plain(body),
                length: end + 4 + length,
            }),
            None => partial,
        }),
        Framing::Chunked => Ok(match join_chunks(rest)? {
            Some((body, taken)) => Parsed::Whole(Request {
                head,
                body: Body::Joined(body),
                length: end + 4 + taken,
            }),
            None => partial,
        }),
    }
}

fn parse_head(text: &str) -> Result<Head<'_>, &'static str> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("malformed request line");
    };
    if !version.starts_with("HTTP/1.") {
        return Err("only HTTP/1 is spoken here");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut head = Head {
        method,
        path,
        query,
        authorization: "",
        x_api_key: "",
        x_goog_api_key: "",
        anthropic_version: "",
        idempotency_key: "",
        keep_alive: version != "HTTP/1.0",
        expects_continue: false,
        framing: Framing::Length(0),
    };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("malformed header")?;
        head.take(name, value.trim())?;
    }
    Ok(head)
}

impl<'a> Head<'a> {
    fn take(&mut self, name: &str, value: &'a str) -> Result<(), &'static str> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // Compares lengths first: most headers match none of these.
        match name.len() {
            6 if is("expect") => self.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            9 if is("x-api-key") => self.x_api_key = value,
            10 if is("connection") => {
                let says = |word: &str| {
                    value
                        .split(',')
                        .any(|it| it.trim().eq_ignore_ascii_case(word))
                };
                self.keep_alive = !says("close") && (self.keep_alive || says("keep-alive"));
            }
            13 if is("authorization") => self.authorization = value,
            // Chunked encoding overrides a length.
            14 if self.framing != Framing::Chunked && is("content-length") => {
                self.framing = Framing::Length(value.parse().map_err(|_| "bad content-length")?);
            }
            14 if is("x-goog-api-key") => self.x_goog_api_key = value,
            15 if is("idempotency-key") => self.idempotency_key = value,
            17 if is("transfer-encoding") => {
                if !value.eq_ignore_ascii_case("chunked") {
                    return Err("unknown transfer-encoding");
                }
                self.framing = Framing::Chunked;
            }
            17 if is("anthropic-version") => self.anthropic_version = value,
            _ => {}
        }
        Ok(())
    }
}

/// The joined body of chunks and how many bytes it consumed, or nothing if some are missing.
fn join_chunks(mut input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let whole = input.len();
    let mut body = Vec::new();
    loop {
        let Some(end) = find(input, b"\r\n") else {
            return Ok(None);
        };
        let Some((line, rest)) = input.split_at_checked(end + 2) else {
            return Ok(None);
        };
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split([';', '\r']).next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or("malformed chunk")?;
        if size > MAX_BODY || body.len() > MAX_BODY - size {
            return Err("request body too long");
        }
        if size == 0 {
            return Ok(end_of_trailers(rest).map(|after| (body, whole - after.len())));
        }
        let Some(chunk) = rest.get(..size) else {
            return Ok(None);
        };
        let Some(after) = rest.get(size + 2..) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        input = after;
    }
}

/// What follows the trailers of a chunked body.
fn end_of_trailers(mut input: &[u8]) -> Option<&[u8]> {
    loop {
        let end = find(input, b"\r\n")?;
        input = input.get(end + 2..)?;
        if end == 0 {
            return Some(input);
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Writes a whole response. `headers` are lines that end in CRLF.
pub(super) fn respond(
    out: &mut Vec<u8>,
    status: u16,
    content_type: &str,
    headers: &str,
    body: &[u8],
) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let known = http::StatusCode::from_u16(status).ok();
        let reason = known
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Error");
        text(out, format_args!("HTTP/1.1 {status} {reason}\r\n"));
    }
    out.extend_from_slice(headers.as_bytes());
    text(
        out,
        format_args!(
            "content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        ),
    );
    out.extend_from_slice(body);
}

fn text(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    out.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(input: &[u8]) -> Request<'_> {
        match parse(input) {
            Ok(Parsed::Whole(request)) => request,
            other => panic!("not a whole request: {other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_up_to_its_end() {
        let input = b"POST /a/b?c=1 HTTP/1.1\r\nHost: x\r\nIDEMPOTENCY-KEY: k1\r\n\
            Content-Length: 4\r\nAuthorization: Bearer s\r\n\r\nbodyGET /";
        let request = whole(input);
        assert_eq!((request.head.method, request.head.path), ("POST", "/a/b"));
        assert_eq!(
            (request.head.query, request.head.idempotency_key),
            ("c=1", "k1")
        );
        assert_eq!(request.head.authorization, "Bearer s");
        assert_eq!(request.body.bytes(), b"body");
        assert_eq!(&input[request.length..], b"GET /");
        assert!(request.head.keep_alive);
        for end in 0..request.length {
            assert!(
                matches!(parse(&input[..end]), Ok(Parsed::Partial { .. })),
                "{end}"
            );
        }
    }

    #[test]
    fn chunks_are_put_together() {
        let input = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
            3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nnext";
        let request = whole(input);
        assert_eq!(request.body.bytes(), b"abc0123456789");
        assert_eq!(&input[request.length..], b"next");
        assert!(!request.head.keep_alive);
        for end in 0..request.length {
            assert!(
                matches!(parse(&input[..end]), Ok(Parsed::Partial { .. })),
                "{end}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for input in [
            "hello\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET / HTTP/1.1\r\nbroken\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ] {
            assert!(parse(input.as_bytes()).is_err(), "{input}");
        }
        assert!(parse(&vec![b'a'; MAX_HEAD + 1]).is_err());
    }
}
