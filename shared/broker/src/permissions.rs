//! What the Redis user of workers and schedulers must be allowed to do, and whether a user is.

use redis::RedisError;

use crate::{BrokerError, Server};

/// A command for each rule of the service user in `docs/PROTOCOL.md` (a test compares them): the rule without its `+`,
/// then arguments with which Redis accepts the command. `KEY` and `CHANNEL` are of the namespace.
const COMMANDS: &[&str] = &[
    "evalsha 0 1 KEY",
    "script|load x",
    "multi",
    "exec",
    "ping",
    "role",
    "time",
    "info",
    "scan 0",
    "publish CHANNEL x",
    "subscribe CHANNEL",
    "append KEY x",
    "get KEY",
    "mget KEY",
    "set KEY x",
    "del KEY",
    "unlink KEY",
    "exists KEY",
    "expire KEY 1",
    "pexpire KEY 1",
    "persist KEY",
    "pttl KEY",
    "rename KEY KEY",
    "type KEY",
    "incr KEY",
    "hget KEY f",
    "hmget KEY f",
    "hset KEY f x",
    "hdel KEY f",
    "hexists KEY f",
    "hgetall KEY",
    "hincrby KEY f 1",
    "hlen KEY",
    "hscan KEY 0",
    "lindex KEY 0",
    "llen KEY",
    "lpop KEY",
    "lpos KEY x",
    "lpush KEY x",
    "lrange KEY 0 0",
    "lrem KEY 0 x",
    "rpush KEY x",
    "sadd KEY x",
    "smembers KEY",
    "spop KEY",
    "srem KEY x",
    "xack KEY g 0-1",
    "xadd KEY * f x",
    "xautoclaim KEY g c 0 0",
    "xclaim KEY g c 0 0-1",
    "xdel KEY 0-1",
    "xgroup|create KEY g $",
    "xgroup|delconsumer KEY g c",
    "xinfo|consumers KEY g",
    "xinfo|groups KEY",
    "xinfo|stream KEY",
    "xlen KEY",
    "xpending KEY g",
    "xrange KEY - +",
    "xreadgroup GROUP g c STREAMS KEY >",
    "xrevrange KEY + -",
    "zadd KEY 1 m",
    "zcard KEY",
    "zcount KEY 0 0",
    "zincrby KEY 1 m",
    "zmscore KEY m",
    "zpopmin KEY",
    "zrange KEY 0 0",
    "zrangebylex KEY - +",
    "zrangebyscore KEY 0 0",
    "zrank KEY m",
    "zrem KEY m",
    "zremrangebyscore KEY 0 0",
    "zrevrangebylex KEY + -",
    "zrevrangebyscore KEY 0 0",
    "zscore KEY m",
];

/// What a user of Redis may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// The rules that this user lacks, as `ACL SETUSER` takes them; none if workers and schedulers can be this user.
    Checked { user: String, missing: Vec<String> },
    /// The connection's own user may not ask.
    NotAllowed,
    /// The server cannot tell: it is older than Redis 7.
    NotSupported,
}

impl Server<'_> {
    /// Checks with `ACL DRYRUN` what `user`, or the connection's own user, may do of what workers and schedulers do.
    pub async fn permissions(self, user: Option<&str>) -> Result<Permissions, BrokerError> {
        match self.missing_rules(user).await {
            Ok((user, missing)) => Ok(Permissions::Checked { user, missing }),
            Err(error) if error.code() == Some("NOPERM") => Ok(Permissions::NotAllowed),
            Err(error) if error.to_string().contains("ubcommand") => Ok(Permissions::NotSupported),
            Err(source) => Err(self.broker.failed(source)),
        }
    }

    async fn missing_rules(self, user: Option<&str>) -> Result<(String, Vec<String>), RedisError> {
        let mut connection = self.broker.shared();
        let user: String = if let Some(user) = user {
            user.to_owned()
        } else {
            let mut whoami = redis::cmd("ACL");
            whoami.arg("WHOAMI").query_async(&mut connection).await?
        };
        let prefix = self.broker.keys().prefix();
        let (key, channel) = (format!("{prefix}:doctor"), self.broker.keys().control());
        let mut missing: Vec<String> = Vec::new();
        for command in COMMANDS {
            let mut words = command.split(' ');
            let rule = words.next().unwrap_or_default();
            let mut dry_run = redis::cmd("ACL");
            dry_run.arg("DRYRUN").arg(&user);
            for word in rule.split('|').chain(words) {
                dry_run.arg(match word {
                    "KEY" => &key,
                    "CHANNEL" => &channel,
                    other => other,
                });
            }
            let verdict: String = dry_run.query_async(&mut connection).await?;
            let rule = missing_rule(&verdict, rule, prefix);
            missing.extend(rule.filter(|rule| !missing.contains(rule)));
        }
        Ok((user, missing))
    }
}

/// The rule without which Redis refuses a command, from what `ACL DRYRUN` says.
fn missing_rule(verdict: &str, rule: &str, prefix: &str) -> Option<String> {
    if verdict == "OK" {
        None
    } else if verdict.ends_with(" key") {
        Some(format!("~{prefix}:*"))
    } else if verdict.ends_with(" channel") {
        Some(format!("&{prefix}:*"))
    } else {
        Some(format!("+{rule}"))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn the_document_has_the_same_rules() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROTOCOL.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, user) = document.split_once("ACL SETUSER service ").unwrap();
        let (user, _) = user.split_once("\n\n").unwrap();
        let documented: BTreeSet<&str> = user
            .split_whitespace()
            .filter_map(|word| word.strip_prefix('+'))
            .collect();
        let checked: BTreeSet<&str> = COMMANDS
            .iter()
            .filter_map(|command| command.split(' ').next())
            .collect();
        assert_eq!(checked, documented);
        assert_eq!(checked.len(), COMMANDS.len(), "a rule is there twice");
    }

    #[test]
    fn a_refusal_names_the_missing_rule() {
        let rule = |verdict| missing_rule(verdict, "xgroup|create", "{a}");
        assert_eq!(rule("OK"), None);
        for (verdict, expected) in [
            (
                "User u has no permissions to run the 'xgroup|create' command",
                "+xgroup|create",
            ),
            (
                "This user has no permissions to run the 'xgroup|create' command",
                "+xgroup|create",
            ),
            (
                "User u has no permissions to access the '{a}:doctor' key",
                "~{a}:*",
            ),
            (
                "User u has no permissions to access the '{a}:control' channel",
                "&{a}:*",
            ),
        ] {
            assert_eq!(rule(verdict).as_deref(), Some(expected));
        }
    }
}
