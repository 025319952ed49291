//! Every setting, one row each: its name and how it is written, its form, its options, and its line in the
//! reference. [`section`](crate::section) describes the rows.

use std::time::Duration;

use longshore_policy::{
    capabilities::Capability,
    catalog::{RawModel, RawProvider, UnknownPrice, word},
    forms::{namespace, queue_share},
    limits::{Alerts, Circuit},
    queues::QueueOrder,
    redis::RedisAccess,
    retention::Retention,
    retry::RetryPolicy,
    routing::Routing,
    webhook::WebhookSettings,
};
use longshore_protocol::{envelope::MessageLimits, platform::PlatformName};
use longshore_settings::{
    Entries, Form, Node, Text,
    form::{bytes, duration, file, flag, listen, program, server, url, whole},
    part,
};

use crate::{
    Config, Liveness,
    forms::{alert_url, host, model, redis_url, signing_key, task_dollars, username},
    section::{entry, fields, section},
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

section! {
    /// The whole file.
    File => Config, "" {
        redis: RawRedis;
        database: RawDatabase;
        retry: RawRetry;
        /// named retry policies for jobs, each with the settings of `retry`: `retries: {patient: {max_retries: 10}}`
        retries: Entries<RawRetry> = "names with policies", "none";
        limits: RawLimits;
        liveness: RawLiveness;
        retention: RawRetention;
        encryption: RawEncryption;
        dead_letters: RawDeadLetters;
        routing: RawRouting;
        /// additions to the built-in providers, see [Providers, models and prices](#providers-models-and-prices)
        providers: Entries<Option<RawProvider>> = "names with providers", "the built-in catalog";
        /// additions to the built-in models
        models: Vec<RawModel> = "a list of models", "the built-in catalog";
        /// more files of models; they override the catalog, and `models` overrides them
        model_files: Vec<Text> = "a list of paths", "none";
        /// spending limits, see [Limits](#limits)
        budgets: Vec<RawBudget> = "a list of budgets", "none";
        /// how tenants share capacity: `tenants: {acme: {weight: 3}}`, with weights from 1 to 1000
        tenants: Entries<Option<RawTenant>> = "names with weights", "equal weights";
        /// limits of queues over all workers, see [Limits of a queue](#limits-of-a-queue)
        queue_limits: Entries<RawQueueLimits> = "names of queues with limits", "none";
        alerts: RawAlerts;
        webhooks: RawWebhooks;
        circuit: RawCircuit;
        /// recurring jobs, see [Recurring jobs](#recurring-jobs)
        cron: Vec<RawCron> = "a list of jobs", "none";
        /// recipes by name, see [RECIPES.md](RECIPES.md); one with the name of a shipped recipe replaces it
        recipes: Entries<Node> = "names with recipes", "the shipped recipes";
        /// more files of recipes, each with a map `recipes`; `recipes` overrides them
        recipe_files: Vec<Text> = "a list of paths", "none";
        /// commands that chain steps may name, see [Gates](#gates)
        gates: Entries<RawGate> = "names with commands", "none";
        /// directories in which tools for files work, see [Tools](#tools)
        workspaces: Entries<RawWorkspace> = "names with directories", "none";
        /// tools that chain steps may name, see [Tools](#tools)
        tools: Entries<RawTool> = "names with tools", "none";
    }

    fn process() {
        /// address of Redis or Valkey, of its Sentinels, or of some nodes of a cluster; see [Redis: TLS, Sentinel, cluster](#redis-tls-sentinel-cluster)
        redis_url: Text = redis_url().values("`redis://HOST:PORT`, `redis+sentinel://HOST:PORT,…/NAME`, `redis+cluster://HOST:PORT,…`; `rediss…` for TLS"), variable("REDIS_URL"), needs_restart();
        /// address of Postgres
        database_url: Text = server(
            "postgres://user@host:port/database",
            &["postgres", "postgresql"],
        ).values("`postgres://USER@HOST:PORT/DATABASE`"), variable("DATABASE_URL"), needs_restart();
        /// prefix of all Redis keys
        namespace: Text = namespace().values("1 to 64 of `[A-Za-z0-9._-]`"), needs_restart();
        /// queues that a worker reads, and their weights: see [Several queues](#several-queues)
        queues: Vec<Text> = queue_share().values("names of 1 to 64 of `[A-Za-z0-9._-]`, `NAME=WEIGHT`"), needs_restart();
        /// how the queues share a worker: by weight, or in strict order
        queue_order: Text = word(QueueOrder::ALL, QueueOrder::as_str), needs_restart();
        /// maximum number of jobs in flight in one worker
        concurrency: Text = whole(1..=100_000), needs_restart();
        /// how long a worker that stops waits at most for the calls that it has begun, see [Stopping](#stopping)
        grace: Text = duration(Duration::ZERO..=DAY);
        /// address that serves `/live`, `/ready`, `/health`, `/metrics`
        listen: Text = listen().values("`ADDRESS:PORT`, off"), needs_restart();
        /// whether a service applies Postgres migrations when it starts
        migrate: Text = flag(), needs_restart();
        /// a simulator that replaces every provider
        simulator_url: Text = url().values("an http or https URL").or_unset("off"), needs_restart();
        /// what a worker does beside calls: `gates` runs the commands of [Gates](#gates), `tools` the tools of [Tools](#tools)
        capabilities: Vec<Text> = word(Capability::ALL, Capability::as_str), needs_restart();
    }

    fn catalog() {
        /// the only programs that providers may run
        cli_tools: Vec<Text> = program().values("names on `PATH`, absolute paths");
        /// models without a price: `refuse` them, or treat them as free (`zero`)
        unknown_price: Text = word(UnknownPrice::ALL, UnknownPrice::as_str);
        /// model that classifies tasks and reviews their answers in the shipped recipe `classify-route-review`, if a job names no other (parameter `classifier`)
        cto_model: Text = model().values("a model").or_unset("routing chooses");
    }
}

section! {
    /// Logins and certificates of Redis.
    RawRedis => RedisAccess, "redis" {}

    fn settings() {
        /// user of Redis, instead of one in `redis_url`
        username: Text = username().or_unset("none"), needs_restart();
        /// file with the password of Redis, instead of one in `redis_url`; read whenever a connection is opened
        password_file: Text = file().or_unset("none"), needs_restart();
        /// certificates (PEM) of the authorities that sign the servers' certificates
        ca_file: Text = file().or_unset("public authorities"), needs_restart();
        /// client certificate (PEM), and those of the authorities between
        cert_file: Text = file().or_unset("none"), needs_restart();
        /// its key (PEM)
        key_file: Text = file().or_unset("none"), needs_restart();
        /// user of the Sentinels
        sentinel_username: Text = username().or_unset("none"), needs_restart();
        /// file with the password of the Sentinels
        sentinel_password_file: Text = file().or_unset("none"), needs_restart();
    }
}

section! {
    /// The login of Postgres.
    RawDatabase => Config, "database" {}

    fn settings() {
        /// file with the password of Postgres, instead of one in `database_url`; read whenever a connection is opened
        password_file => database_password_file: Text = file().or_unset("none"), needs_restart();
    }
}

section! {
    /// A retry policy.
    RawRetry => RetryPolicy, "retry" {}

    fn settings() {
        /// attempts after the first, on each platform
        max_retries: Text = whole(0..=100);
        /// attempts, on all platforms together, after answers that the same call would get again: refused (goes to another model), cut off before they can be used (the next call has up to twice the `max_tokens`; without `max_tokens` it goes to another model), or of the wrong form (the next call says what was wrong)
        max_repairs: Text = whole(0..=100);
        /// delay before the first retry; doubles with each retry
        base_delay: Text = duration(Duration::ZERO..=30 * DAY);
        /// longest delay, before jitter
        max_delay: Text = duration(Duration::ZERO..=30 * DAY);
        /// maximum random time added to a delay
        jitter: Text = duration(Duration::ZERO..=30 * DAY);
        /// jobs with a longer delay are parked and free their slot in the worker
        hold_limit: Text = duration(Duration::ZERO..=30 * DAY);
    }
}

section! {
    /// Limits of a message. Redis itself accepts at most 512 MiB in one value.
    RawLimits => MessageLimits, "limits" {}

    fn settings() {
        /// largest message
        max_message_bytes => max_bytes: Text = bytes(1 << 10..=512 << 20);
        /// largest chain document
        max_chain_bytes: Text = bytes(1 << 10..=512 << 20);
        /// deepest nesting of a message
        max_depth: Text = whole(1..=128);
        /// most answers of a step that may call [tools](#tools) of the worker
        max_tool_rounds: Text = whole(1..=1000);
    }
}

section! {
    /// Heartbeats.
    RawLiveness => Liveness, "liveness" {}

    fn settings() {
        /// time between two heartbeats of a worker
        heartbeat_every: Text = duration(100 * MS..=HOUR), needs_restart();
        /// how long a heartbeat lives, at least twice `heartbeat_every`; a worker whose heartbeat is missing for twice `heartbeat_every` more is dead
        heartbeat_ttl: Text = duration(100 * MS..=HOUR), needs_restart();
    }
}

section! {
    /// How long things are kept.
    RawRetention => Retention, "retention" {}

    fn settings() {
        /// how long Redis keeps replies, and the outcomes of jobs with `reply` or `keep_result`, of chains and of batches
        results: Text = period();
        /// how long Redis keeps the outcomes of all other jobs
        unrequested_results: Text = period();
        /// how long Redis remembers the ids that producers choose
        ids: Text = period();
        /// how long Redis keeps dead letters before they are archived in Postgres
        dead_letters: Text = period();
        /// maximum number of dead letters in Redis; the oldest are archived first
        dead_letters_max: Text = whole(1..=1_000_000_000);
        /// how long Redis keeps the steps and answers of a chain after it ends
        chains: Text = period();
        /// how long Postgres keeps archived dead letters
        dead_letters_archive: Text = period().or_unset("forever");
        /// how long Postgres keeps ended jobs with their outputs, ended chains, and dropped messages. Attempts stay, so
        /// cost totals do not change
        jobs: Text = period().or_unset("forever");
        /// how long Postgres keeps attempts, counted from their start, closed quota windows and alerts.
        /// Cost totals stay, by hour; the costs of single jobs and chains are deleted with their attempts
        attempts: Text = period().or_unset("forever");
        /// how long Postgres keeps cost totals, by day; at least as long as their attempts
        costs: Text = period().or_unset("forever");
        /// how long Postgres keeps what people did, as `longshore audit` shows it
        audit: Text = period().or_unset("forever");
        /// how long Redis keeps events that Postgres rejected (`{ns}:events:bad`)
        events_bad: Text = period().or_unset("forever");
    }
}

fn period() -> Form<Duration> {
    duration(SECOND..=3_650 * DAY)
}

section! {
    /// Routing.
    RawRouting => Routing, "routing" {
        /// rules before the built-in ones, see [Routing](#routing)
        rules: Vec<RawRule> = "a list of rules", "none";
        /// categories of prompts, added to the built-in ones
        keywords: Vec<RawCategory> = "a list of categories", "none";
        /// words for risk and complexity, added to the built-in ones: `tiers: {trivial: fast}`
        tiers: Entries<Text> = "words with tiers", "none";
    }

    fn settings(provider: Form<PlatformName>) {
        /// whether the built-in rules apply, see [Routing](#routing)
        default_rules: Text = flag();
        /// rank local platforms before others of equal rank
        prefer_local: Text = flag();
        /// maximum cost of one job in dollars, all attempts together; a job can set a lower limit
        max_cost_per_task: Text = task_dollars().values("above 0").or_unset("none");
        /// when the longest answer of a call could cost more than its job may, or than its budgets have left, the answer is limited to what they allow, but to no fewer tokens than this; below that, another model answers, or the job waits or ends
        min_answer_tokens: Text = whole(1..=1_000_000);
        /// first platform to call when the preferred ones fail
        fallback_provider: Text = provider.values("a provider").or_unset("the cheapest");
        /// prompts with more bytes than this are counted with a tokenizer
        estimate_threshold: Text = whole(0..=1_000_000_000);
    }
}

entry! {
    /// A routing rule. A condition that it omits matches every job.
    RawRule {
        /// name in decisions
        name: Text = "text", "required";
        /// job types, case-insensitive
        r#type: Vec<Text> = "a list of words", "any";
        /// risks
        risk: Vec<Text> = "a list of words", "any";
        /// areas
        area: Vec<Text> = "a list of words", "any";
        /// complexities
        complexity: Vec<Text> = "a list of words", "any";
        /// platforms to call, in this order
        platform: Vec<Text> = "a list of providers", "all enabled, by cost";
        /// model to call, instead of `platform`, `tier` and `capability`
        model: Text = "`MODEL` or `PROVIDER/MODEL`", "none";
        /// on each platform, the cheapest model of at least this tier
        tier: Text = "fast, standard, advanced", "any";
        /// on each platform, a model with this capability
        capability: Text = "a capability of the [catalog](#providers-models-and-prices)", "any";
    }
}

entry! {
    /// A category of prompts.
    RawCategory {
        /// its name; a built-in name replaces that category
        category: Text = "text", "required";
        /// the words of the category; `[]` disables it
        words: Vec<Text> = "a list of words", "required";
        /// platforms to call, in this order
        platforms: Vec<Text> = "a list of providers", "required, unless `words` is `[]`";
        /// platforms to call for jobs of type `review`, in this order: who checks an answer in the shipped recipes
        validators: Vec<Text> = "a list of providers", "all, cheapest first";
    }
}

section! {
    /// Dead letters.
    RawDeadLetters => Config, "dead_letters" {
        /// rules that replay dead letters automatically, see [Dead letters](#dead-letters)
        replay: Vec<RawReplayRule> = "a list of rules", "none";
    }
}

entry! {
    /// A rule that replays dead letters.
    RawReplayRule {
        /// name in logs and in `longshore_dead_letters_replayed_total{rule}`
        name: Text = "1 to 64 of `[A-Za-z0-9._-]`", "required";
        /// the reasons to match, as `longshore dlq list` shows them
        reasons: Vec<Text> = "classes of failed calls, `poison`, `budget_exceeded`", "required";
        /// only dead letters of this job type
        r#type: Text = "a job type", "any";
        /// only dead letters that failed last on this platform
        platform: Text = "a provider", "any";
        /// only dead letters of this tenant
        tenant: Text = "a tenant", "any";
        /// only dead letters of this queue
        queue: Text = "a queue", "any";
        /// `healthy`: when no circuit of the platform that failed last is open, and not before
        /// `circuit.cooldown` has passed. If no other job probes the platform, one dead letter at a time
        /// does. `after`: this long after the job failed
        when: Text = "`healthy`, `after 10m` (1s to 30d)", "`healthy`";
        /// maximum number of replays in any 60 s, also when the leader changes
        per_minute: Text = "1 to 1000000", "60";
        /// maximum number of replays of one dead letter, including manual ones
        at_most: Text = "1 to 1000", "3";
    }
}

fields! {
    /// A provider. Its reader is in the catalog.
    PROVIDER {
        /// format of its API; `cli` is a [program](#command-line-tools)
        dialect = "openai, anthropic, gemini, ollama, cli", "openai";
        /// base address of the API; programs have none
        base_url = "an http or https URL", "required";
        /// the key; a provider whose variable is unset is disabled
        api_key = "`${NAME}`", "none";
        /// model for jobs that name none
        default_model = "a model", "the first of its `models`";
        /// short form of the default model's price, in US dollars per million tokens; `cached` is optional
        price = "`{input, output, cached}`", "unknown";
        /// whether the provider may be used; the built-in `ollama` and programs are disabled until you set `true`
        enabled = "true, false", "true";
        /// how its calls are paid; platforms are called in this order. The calls of a `free` one cost nothing, whatever the prices of its models
        billing = "free, subscription, paid", "paid";
        /// where the cost of an answer comes from: the `prices` of its model, or the `provider`, if it reports what it charges (OpenRouter, xAI, Claude Code) and its report is to be the cost in the ledger and in budgets
        cost_from = "prices, provider", "prices";
        /// whether the provider runs on this machine or in this network
        local = "true, false", "false";
        /// maximum time for one call to this provider
        timeout = "a duration", "the job's";
        /// random delay before each call; `true` takes its bounds from `min_delay` and `max_delay`
        rate_limit_delay = "`{min: 1s, max: 10s}`, `true`", "none";
        /// shortest delay with `rate_limit_delay: true`
        min_delay = "0ms to 1h", "1s";
        /// longest delay with `rate_limit_delay: true`
        max_delay = "0ms to 1h", "10s";
        /// the account whose quota its calls use; providers with the same account share it
        account = "an account or a provider", "itself";
        /// limits of its account, see [Limits](#limits)
        limits = "limits", "none";
        /// command line of a [program](#command-line-tools)
        command = "a list of texts", "none";
        /// variables of a [program](#command-line-tools)
        env = "a list of variables", "none";
    }
}

fields! {
    /// The `limits` of a provider. Their reader is in the catalog.
    ACCOUNT_LIMITS {
        /// requests, spread evenly
        requests_per_minute = "1 to 600000", "unlimited";
        /// tokens of prompts and answers together
        tokens_per_minute = "1 to 1000000000", "unlimited";
        /// requests
        requests_per_day = "1 to 1000000000", "unlimited";
        /// US dollars, in quotes
        usd_per_month = "above 0, up to `\"9000000\"`", "unlimited";
        /// calls in flight, over all workers; see [Calls in flight](#limits)
        max_concurrent = "1 to 100000", "from the other limits";
        /// time zone of its days and months
        time_zone = "such as `Europe/Berlin`", "UTC";
        /// time at which a day or a month starts
        reset_at = "`\"00:00\"` to `\"23:59\"`", "`\"00:00\"`";
    }
}

fields! {
    /// A model. Its reader is in the catalog.
    MODEL {
        /// its provider
        provider = "a provider", "required";
        /// its name in the provider's API
        model = "a name", "required";
        /// how capable it is
        tier = "fast, standard, advanced", "standard";
        /// what it can do
        capabilities = "`code`, `analysis`, `planning`, `review`, `complex_reasoning`, `docs`, `simple_tasks`, `tools`, `json_schema`, `reasoning`, `vision`, `files`, `audio`", "those of the tier";
        /// maximum tokens of prompt and answer together
        context_window = "1 to 1000000000", "131072";
        /// maximum tokens of an answer
        max_output_tokens = "1 to 1000000000", "`context_window`";
        /// day from which only jobs and rules that name the model use it
        withdrawn = "a date (UTC)", "never";
        /// price of a million prompt tokens
        input_per_million = "US dollars", "unknown";
        /// price of a million answer tokens
        output_per_million = "US dollars", "unknown";
        /// price of a million prompt tokens read from the provider's cache
        cached_per_million = "US dollars", "as the input";
        /// price of a million prompt tokens written to the provider's cache
        cache_write_per_million = "US dollars", "as the input";
        /// price of a million prompt tokens written to the cache for one hour
        cache_write_1h_per_million = "US dollars", "as `cache_write_per_million`";
        /// price of a million reasoning tokens
        reasoning_per_million = "US dollars", "as the output";
        /// price of a million prompt tokens of sound. Without it they cost what text does, and the attempt's cost is called estimated
        audio_per_million = "US dollars", "as the input";
        /// price of a million prompt tokens of sound read from the provider's cache
        cached_audio_per_million = "US dollars", "as `cached_per_million`";
        /// prices of calls whose prompt has more than `above_tokens` tokens; a price that a step omits is the one below it
        steps = "a list of prices", "none";
        /// fraction that the provider deducts in its own batch API: `"0.5"` halves the price
        batch_discount = "0 to 1", "0";
        /// price lists, each valid from the day `valid_from` (UTC); each replaces the entire list before it
        price_changes = "a list of price lists", "none";
    }
}

entry! {
    /// A budget.
    RawBudget {
        /// name in messages
        name: Text = "1 to 64 of `[A-Za-z0-9._-]`", "required";
        /// whose spending counts; jobs without a tenant or a chain count in no budget of that scope
        scope: Text = "`overall`, `provider`, `tenant`, `chain`", "required";
        /// only this one; required for `provider`
        of: Text = "a provider, tenant or chain", "each tenant, each chain";
        /// the limit
        limit_usd: Text = "above 0, up to `\"9000000\"`", "required";
        /// the period; hours are UTC hours
        per: Text = "`hour`, `day`, `month`, `ever`", "required";
        /// a hard budget is never exceeded; a soft budget only raises alerts
        kind: Text = "`hard`, `soft`", "`hard`";
        /// hard budgets: what happens to a job that no longer fits if no other platform of its route has
        /// room (platforms that cost nothing always have). `wait`: it waits for the next period. `free`: it
        /// goes to any capable platform that costs nothing, even if the job names another platform (but not
        /// with `fallback: false`); if there is none, it waits. `dead_letter`: it becomes a dead letter
        at_limit: Text = "`wait`, `free`, `dead_letter`", "`wait`";
        /// time zone of its days and months
        time_zone: Text = "such as `Europe/Berlin`", "UTC";
        /// time at which a day or a month starts
        reset_at: Text = "`\"00:00\"` to `\"23:59\"`", "`\"00:00\"`";
    }
}

part! {
    /// The weight of a tenant.
    pub(crate) struct RawTenant {
        pub(crate) weight: Option<Text>,
    }
}

entry! {
    /// The limits of a queue.
    RawQueueLimits {
        /// calls for its jobs in flight, over all workers
        max_concurrent: Text = "1 to 100000", "unlimited";
        /// calls for its jobs that begin, spread evenly
        requests_per_minute: Text = "1 to 600000", "unlimited";
    }
}

section! {
    /// Alerts.
    RawAlerts => Alerts, "alerts" {}

    fn settings() {
        /// percentages of a limit that raise an alert; `[]` for none, see
        /// [Alerts and webhooks](#alerts-and-webhooks)
        at: Vec<Text> = whole(1..=100);
        /// URL that receives each alert
        webhook: Text = alert_url().values("`https://HOST/PATH`").or_unset("off");
    }
}

section! {
    /// Webhooks.
    RawWebhooks => WebhookSettings, "webhooks" {}

    fn settings() {
        /// the only hosts that webhooks may be sent to
        hosts: Vec<Text> = host().values("`HOST`, `HOST:PORT`, `http://HOST:PORT`");
        /// key that signs webhooks
        secret: Text = signing_key().values("`whsec_` and base64").or_unset("not set");
        /// how long to wait for the receiver's response
        timeout: Text = duration(100 * MS..=MINUTE);
    }
}

section! {
    /// Encryption at rest.
    RawEncryption => Config, "encryption" {
        /// keys that encrypt what is stored, see [Encryption](#encryption); each is a variable that holds 32 bytes in base64: `keys: {k1: "${LONGSHORE_KEY_1}"}`
        keys: Entries<Text> = "names of 1 to 32 of `[a-z0-9_-]` with variables", "none: nothing is encrypted";
        /// name of the key that encrypts; the others only decrypt
        current: Text = "a name of `encryption.keys`", "required with `encryption.keys`";
    }
}

section! {
    /// Circuit breakers.
    RawCircuit => Circuit, "circuit" {}

    fn settings() {
        /// percentage of failed calls in the window at which the circuit of a model opens
        error_percent: Text = whole(1..=100);
        /// minimum number of calls in the window before the circuit can open
        min_calls: Text = whole(1..=1_000_000);
        /// time over which calls are counted
        window: Text = duration(100 * MS..=HOUR);
        /// time from opening to the first probe; doubles with each failed probe
        cooldown: Text = duration(100 * MS..=HOUR);
        /// longest time to the next probe
        max_cooldown: Text = duration(100 * MS..=HOUR);
    }
}

entry! {
    /// A recurring job.
    RawCron {
        /// name in commands and messages
        name: Text = "1 to 64 of `[A-Za-z0-9._-]`", "required";
        /// minute, hour, day of the month, month, weekday; with six fields, the first is the second; or
        /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Lists, ranges, steps, names (`MON`, `JAN`),
        /// `L`, `W` and `#` as in [croner](https://docs.rs/croner)
        schedule: Text = "a cron expression", "this or `every`";
        /// an interval, aligned to multiples of it since 1970 UTC: `every: 30s` runs at :00 and :30
        every: Text = "1s to 366d, whole seconds", "this or `schedule`";
        /// time zone of the schedule
        timezone: Text = "such as `Europe/Berlin`", "UTC";
        /// what happens to ticks that were missed because no scheduler ran
        missed: Text = "`skip`, `once`, `all`", "`once`";
        /// queue of the jobs
        queue: Text = "a queue name", "`default`";
        /// the job to enqueue
        job: Node = "a job as in [PROTOCOL.md](PROTOCOL.md), without `id`", "required";
    }
}

fields! {
    /// The variables that begin with `LONGSHORE_` but set no setting of the file: who reads them, their
    /// defaults and what they do.
    VARIABLES {
        /// path of the configuration file
        LONGSHORE_CONFIG = "all programs", "`longshore.yaml`, if it exists";
        /// log filter
        LONGSHORE_LOG = "all programs", "`info`";
        /// `text` or `json`
        LONGSHORE_LOG_FORMAT = "all programs", "`text` on a terminal, otherwise `json`";
        /// who runs the commands, for `longshore audit`; set it where a program acts for a person
        LONGSHORE_ACTOR = "`longshore`", "user and host";
        /// Redis server program to use
        LONGSHORE_REDIS_SERVER = "`longshore dev`", "the detected one";
        /// directory of the Postgres programs to use
        LONGSHORE_POSTGRES_BIN = "`longshore dev`", "the detected one";
        /// default of `--tasks`
        LONGSHORE_TASKS_FILE = "`longshore run`", "none";
        /// default of `--working-dir`
        LONGSHORE_WORKING_DIR = "`longshore run`", "none";
        /// address of the first worker, which `longshore dev` sets for the command that it runs
        LONGSHORE_WORKER_URL = "your command", "none";
        /// addresses of all workers, if `longshore dev` starts more than one
        LONGSHORE_WORKER_URLS = "your command", "none";
        /// address of the scheduler, which `longshore dev` sets for the command that it runs
        LONGSHORE_SCHEDULER_URL = "your command", "none";
    }
}

entry! {
    /// A gate.
    RawGate {
        /// the program and its arguments; no shell reads them
        command: Vec<Text> = "a list of words", "required";
        /// where it runs
        working_dir: Text = "an absolute path", "required";
        /// after this time it is killed
        timeout: Text = "1s to 24h", "10m";
        /// its variables beside `PATH`, `HOME`, `LANG` and `TMPDIR` of the worker
        env: Entries<Text> = "names with values", "none";
        /// a command that prints more is killed
        max_output: Text = "1KiB to 1GiB", "1MiB";
        /// the most memory of each of its processes
        max_memory: Text = "16MiB to 1024GiB", "unlimited";
        /// zero-warnings mode: the gate fails if a line of the output matches
        warnings: Text = "a regular expression", "none";
    }
}

entry! {
    /// A workspace.
    RawWorkspace {
        /// the directory; nothing outside is read or written
        directory: Text = "an absolute path", "required";
        /// the largest file that is read or written
        max_file_bytes: Text = "1KiB to 16MiB", "1MiB";
        /// the commands that `run` may run, each with all of its arguments
        run: Vec<Vec<Text>> = "a list of lists of words", "none";
        /// after this time a command is killed, or a search ends
        timeout: Text = "1s to 1h", "10m";
        /// a command that prints more is killed
        max_output: Text = "1KiB to 1GiB", "1MiB";
        /// variables of the commands beside `PATH`, `HOME`, `LANG` and `TMPDIR` of the worker
        env: Entries<Text> = "names with values", "none";
    }
}

entry! {
    /// A tool.
    RawTool {
        /// what it does, for the model
        description: Text = "text", "required";
        /// the JSON schema of its arguments
        parameters: Node = "a schema with `type: object`", "no arguments";
        /// the program and its arguments; no shell reads them. It gets the arguments of the call as JSON on standard input
        command: Vec<Text> = "a list of words", "this or `http`";
        /// where the command runs
        working_dir: Text = "an absolute path", "the directory of the configuration file";
        /// variables of the command beside `PATH`, `HOME`, `LANG` and `TMPDIR` of the worker
        env: Entries<Text> = "names with values", "none";
        /// a request instead of a command
        http: RawToolRequest = "`method`, `url`, `headers`", "this or `command`";
        /// after this time the call ends
        timeout: Text = "1s to 1h", "1m";
        /// a command that prints more is killed; more of an answer is cut off
        max_output: Text = "1KiB to 1GiB", "1MiB";
    }
}

entry! {
    /// The request of a tool.
    RawToolRequest {
        /// with `POST`, the arguments are the body, as JSON; with `GET`, the query
        method: Text = "`GET`, `POST`", "`POST`";
        /// the address; redirects are not followed
        url: Text = "an http or https URL", "required";
        /// headers, such as one with a key
        headers: Entries<Text> = "names with values", "none";
    }
}
