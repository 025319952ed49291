//! Producers in other languages, as the documents print them.

use crate::clients::clients;

use super::{
    DOCUMENTS,
    blocks::{Kind, blocks},
    reader::Reader,
};

/// Longer than the default reply timeout of Redis clients.
const SLOW: &str = "[[latency=8000]] ";

#[tokio::test(flavor = "multi_thread")]
async fn python_prints_answers_that_come_at_once_and_late() {
    let python = clients().await.join(".venv/bin/python");
    let mut reader = Reader::start().await;
    let mut samples = 0;
    for document in DOCUMENTS {
        reader.begin();
        for block in blocks(document) {
            match block.kind() {
                Ok(Kind::Commands) => reader.set_up(&block.text),
                Ok(Kind::Python) => {
                    samples += 1;
                    let slow = block
                        .text
                        .replace("\"prompt\": \"", &format!("\"prompt\": \"{SLOW}"));
                    assert_ne!(slow, block.text);
                    reader.write("sample.py", &block.text);
                    reader.write("slow.py", &slow);
                    let run = async |file| {
                        reader
                            .shell(&format!("{} {file}", python.display()))
                            .await
                            .unwrap()
                    };
                    let printed = tokio::join!(run("sample.py"), run("slow.py"));
                    assert!(printed.0.contains("You asked: "), "{}", printed.0);
                    assert_eq!(printed.0, printed.1, "{document}:{}", block.line);
                }
                _ => {}
            }
        }
    }
    assert!(samples > 0);
    reader.stop().await;
}
