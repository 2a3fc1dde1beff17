//! `fairveil config show`.

use comfy_table::{Table, presets::NOTHING};

use crate::config::Config;

/// Prints every value with its source.
pub(crate) fn show(config: &Config, json: bool) {
    if json {
        let values: serde_json::Map<_, _> = config
            .shown()
            .into_iter()
            .map(|(key, value, source)| {
                let entry = serde_json::json!({ "value": value, "source": source.to_string() });
                (key.to_owned(), entry)
            })
            .collect();
        println!("{}", serde_json::Value::Object(values));
        return;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["key", "value", "source"]);
    for (key, value, source) in config.shown() {
        table.add_row([key, value, &source.to_string()]);
    }
    println!("{table}");
}
