use std::collections::BTreeSet;

use super::{flat, hash_of as hash, job, read};

#[test]
fn the_hash_is_only_taken_where_the_id_is_the_producers_own() {
    assert_eq!(read(&flat(&[("prompt", "p")])).unwrap().hash, None);
}

#[test]
fn the_same_content_has_the_same_hash_however_it_is_spelled() {
    let first = hash(&job(
        r#"{"id":"a","prompt":"p","timeout":60,"metadata":{"a":1,"b":[2.0]},"deadline":"2026-12-01T10:00:00+01:00","x":"y"}"#,
    ));
    assert_eq!(first.len(), 64);
    for same in [
        r#"{"metadata":{"b":[2],"a":1e0},"deadline":1796115600000,"timeout":"60.0","x":"\u0079","prompt":"p","id":"a"}"#,
        r#"{"id":"b","v":1,"type":"code_generation","fallback":true,"reply":false,"tenant":null,"messages":[{"content":"p","role":"user"}],"timeout":60,"metadata":{"a":1,"b":[2]},"deadline":1796115600000,"x":"y"}"#,
    ] {
        assert_eq!(hash(&job(same)), first, "{same}");
    }
    let same = flat(&[
        ("x", "y"),
        ("id", "a"),
        ("metadata", r#"{"a":1,"b":[2.0]}"#),
        ("timeout", "60"),
        ("deadline", "1796115600000"),
        ("prompt", "p"),
    ]);
    assert_eq!(hash(&same), first);
}

#[test]
fn the_same_job_for_another_reader_has_the_same_hash() {
    let readers = ["true", r#""@alice""#, r#""@bob""#].map(|reply| {
        hash(&job(&format!(
            r#"{{"id":"a","prompt":"p","reply":{reply}}}"#
        )))
    });
    assert_eq!(BTreeSet::from(readers).len(), 1);
}

#[test]
fn other_content_has_another_hash() {
    let all = [
        r#"{"id":"a","prompt":"p"}"#,
        r#"{"id":"a","prompt":"q"}"#,
        r#"{"id":"a","prompt":"p","system":""}"#,
        r#"{"id":"a","prompt":"p","timeout":301}"#,
        r#"{"id":"a","prompt":"p","retry":{}}"#,
        r#"{"id":"a","prompt":"p","retry":{"max_retries":1}}"#,
        r#"{"id":"a","prompt":"p","retry":{},"retry.max_retries":"1"}"#,
        r#"{"id":"a","prompt":"p","retry":"x"}"#,
        r#"{"id":"a","prompt":"p","reply":true}"#,
        r#"{"id":"a","prompt":"p","keep_result":true}"#,
        r#"{"id":"a","prompt":"p","fallback":false}"#,
        r#"{"id":"a","prompt":"p","delay":5}"#,
        r#"{"id":"a","prompt":"p","start_by":5}"#,
        r#"{"id":"a","prompt":"p","deadline":5}"#,
        r#"{"id":"a","prompt":"p","x":5}"#,
        r#"{"id":"a","prompt":"p","x":"5"}"#,
        r#"{"id":"a","prompt":"p","x":"\ud800"}"#,
        r#"{"id":"a","prompt":"p","x":null}"#,
        r#"{"id":"a","prompt":"p","metadata":{}}"#,
        r#"{"id":"a","prompt":"p","metadata":{"a":[[],[]]}}"#,
        r#"{"id":"a","prompt":"p","metadata":{"a":[[[]]]}}"#,
    ];
    let hashes: BTreeSet<_> = all.iter().map(|json| hash(&job(json))).collect();
    assert_eq!(hashes.len(), all.len());
}
