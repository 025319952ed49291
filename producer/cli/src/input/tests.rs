use insta::assert_snapshot;

use super::*;

/// The tasks of an input, and the error of the whole input as the last line.
fn read_all(form: &Form, bytes: impl AsRef<[u8]>) -> String {
    let mut lines = Vec::new();
    let mut index = 0;
    let read = read_tasks(bytes.as_ref(), form, &mut |task| {
        match task.json {
            Ok(task) => lines.push(task.to_owned()),
            Err(wrong) => {
                let faults = Source::Stdin.task_faults(index, task.line, &[wrong]);
                lines.extend(faults.iter().map(|fault| fault.replacen("stdin: ", "", 1)));
            }
        }
        index += 1;
        ControlFlow::Continue(())
    });
    match read {
        Ok(()) => {}
        Err(ReadError::Format(wrong)) => {
            lines.extend(wrong.iter().map(|wrong| format!("Error: {wrong}")));
        }
        Err(ReadError::Io(error)) => lines.push(format!("Error: {error}")),
    }
    lines.join("\n")
}

fn table(prompt: Option<&str>, fields: &[&str], text: impl AsRef<[u8]>) -> String {
    let columns = Columns {
        prompt: prompt.map(str::to_owned),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    read_all(&Form::Table(columns), text)
}

#[test]
fn list_elements_keep_their_original_text() {
    let text = "\u{feff} [{\"prompt\": \"a\", \"n\": 0.10},\n  \"b\" , [1, 2]]\n";
    assert_snapshot!(read_all(&Form::List, text), @r#"
    {"prompt": "a", "n": 0.10}
    "b"
    [1, 2]
    "#);
}

#[test]
fn invalid_lists_are_reported() {
    let texts = [
        "",
        " \n",
        "[{\"prompt\": \"x\"},\n {\"prompt\" \"y\"}]",
        "{\"prompt\": \"x\"}",
        "[]",
        "[1] []",
        "[1, 2",
        "7",
    ];
    let wrong: Vec<String> = texts
        .iter()
        .map(|text| read_all(&Form::List, text))
        .collect();
    assert_snapshot!(wrong.join("\n"), @r#"
    Error: expected a JSON list of tasks, but the input is empty
    Error: expected a JSON list of tasks, but the input is empty
    {"prompt": "x"}
    Error: not JSON: expected `:` at line 2 column 12
    Error: expected a JSON list of tasks: [{"prompt": "…"}, …]; for one task per line, add --input-format jsonl
    Error: expected at least one task, but the list is empty
    1
    Error: not JSON: trailing characters at line 1 column 5
    1
    2
    Error: not JSON: EOF while parsing a list at line 1 column 5
    Error: expected a JSON list of tasks: [{"prompt": "…"}, …]
    "#);
    assert_snapshot!(read_all(&Form::List, b"[\"\xff\"]"), @"Error: not JSON: invalid unicode code point at line 1 column 3");
}

#[test]
fn a_single_task_is_accepted_where_allowed() {
    assert_snapshot!(read_all(&Form::OneOrList, "{\"prompt\": \"x\"} "), @r#"{"prompt": "x"}"#);
    assert_snapshot!(read_all(&Form::OneOrList, "[{\"prompt\": \"x\"}]"), @r#"{"prompt": "x"}"#);
    assert_snapshot!(read_all(&Form::OneOrList, "{\"prompt\": \"x\"} {}"), @"Error: not JSON: trailing characters at line 1 column 17");
}

#[test]
fn each_nonempty_line_is_a_task() {
    let text = b"\xef\xbb\xbf{\"prompt\":\"a\"}\r\n\n  {\"prompt\":\"b\"}  \n\"\xff\"\n{\"prompt\":\"last\"}";
    assert_snapshot!(read_all(&Form::Lines, text), @r#"
    {"prompt":"a"}
    {"prompt":"b"}
    task 3 (index 2): line 4: expected UTF-8, but got an invalid byte at offset 1
    {"prompt":"last"}
    "#);
    assert_snapshot!(read_all(&Form::Lines, "\n\r\n"), @r#"Error: expected one task per line, such as {"prompt": "…"}, but the input is empty"#);
}

#[test]
fn a_row_becomes_a_task() {
    let text = "\u{feff}title,body,id,max_tokens,First name\r\n\"One, \"\"two\"\"\",\"a\nb\",7,100,Ann\r\nThree,,,,\r\n";
    let prompt = "{{ title }}: {{ body }} ({{ row['First name'] }})";
    assert_snapshot!(table(Some(prompt), &["id", "max_tokens"], text), @r#"
    {"id":"7","max_tokens":100,"prompt":"One, \"two\": a\nb (Ann)"}
    {"prompt":"Three:  ()"}
    "#);
    assert_snapshot!(table(None, &["metadata"], "prompt,metadata\nHi <b>,\"{\"\"a\"\": 1}\"\n"), @r#"{"metadata":{"a":1},"prompt":"Hi <b>"}"#);
}

#[test]
fn table_errors_are_reported() {
    let text = "title,body\na,b\nonly\nc,d,e\nf,\"g\n";
    let wrong = [
        table(Some("{{ title }}"), &[], text),
        table(Some("{{ titel }} {{ body }} {{ author }}"), &["bodi"], text),
        table(Some("{{ title "), &[], text),
        table(Some("{{ row['x'] }}"), &[], text),
        table(Some("{{ title }}"), &["tenant"], text),
        table(None, &[], text),
        table(Some("{{ a }}"), &[], "a,b,a\n1,2,3\n"),
        table(Some("{{ a }}"), &[], "a,b\n"),
        table(Some("{{ a }}"), &[], b"a,b\n1,\xff\n"),
        table(Some("x"), &[], ""),
    ];
    assert_snapshot!(wrong.join("\n"), @r#"
    {"prompt":"a"}
    task 2 (index 1): line 3: expected 2 columns, as in the header, but got 1
    task 3 (index 2): line 4: expected 2 columns, as in the header, but got 3
    {"prompt":"f"}
    Error: --prompt: unknown column `author`; expected one of title, body
    Error: --prompt: unknown column `titel`; did you mean `title`?
    Error: --fields: unknown column `bodi`; did you mean `body`?
    Error: --prompt: syntax error: unexpected end of input, expected end of variable block
    task 1 (index 0): line 2: --prompt: undefined value: `row['x']` is undefined
    task 2 (index 1): line 3: expected 2 columns, as in the header, but got 1
    task 3 (index 2): line 4: expected 2 columns, as in the header, but got 3
    task 4 (index 3): line 5: --prompt: undefined value: `row['x']` is undefined
    Error: --fields: unknown column `tenant`; expected one of title, body
    Error: there is no column `prompt`; add --prompt with a template of the columns title, body, such as --prompt 'Summarise: {{ title }}'
    Error: header: duplicate column `a`
    Error: expected at least one row below the header, but there is none
    task 1 (index 0): line 2: column 2: expected UTF-8, but got invalid bytes
    Error: expected at least one row below the header, but there is none
    "#);
}

#[test]
fn a_missing_file_is_named() {
    let source = Source::from_path(Some("no/such/batch.json".into()));
    let error = source
        .task_or_tasks(&MessageLimits::default(), &Catalog::default())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no/such/batch.json cannot be read: "),
        "{error}"
    );
}

#[test]
fn the_file_name_implies_the_format() {
    let format = |name: &str| Source::from_path(Some(name.into())).format();
    assert_eq!(format("a/b.JSONL"), InputFormat::Jsonl);
    assert_eq!(format("b.ndjson"), InputFormat::Jsonl);
    assert_eq!(format("b.csv"), InputFormat::Csv);
    assert_eq!(format("b.json"), InputFormat::Json);
    assert_eq!(format("b"), InputFormat::Json);
    assert_eq!(Source::from_path(None).format(), InputFormat::Json);
}
