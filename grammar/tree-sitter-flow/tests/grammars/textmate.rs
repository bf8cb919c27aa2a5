//! The TextMate grammar as editors apply it, as far as this grammar needs it: line by line, the leftmost match wins, and of equals the
//! first. Must not be more than that: the real library reads the grammar in the tests of the extension.

use regex::Regex;
use serde_json::Value;
use std::collections::HashMap;

const GRAMMAR: &str = include_str!("../../../flow.tmLanguage.json");

/// A pattern of the grammar, its expressions compiled.
struct Pattern {
    name: Option<String>,
    begin: Regex,
    /// Of a stretch with an end: the end, and what is inside.
    rest: Option<(Regex, Vec<usize>)>,
    captures: Vec<(usize, String)>,
    end_captures: Vec<(usize, String)>,
}

/// The grammar's patterns, by number, and those at the top.
pub struct TextMate {
    patterns: Vec<Pattern>,
    lists: HashMap<String, Vec<usize>>,
    top: Vec<usize>,
}

fn captures(value: &Value) -> Vec<(usize, String)> {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(n, v)| Some((n.parse().ok()?, v["name"].as_str()?.to_string()))).collect()
}

impl TextMate {
    /// Reads the grammar.
    pub fn new() -> TextMate {
        let json: Value = serde_json::from_str(GRAMMAR).expect("is JSON");
        let mut grammar = TextMate { patterns: vec![], lists: HashMap::new(), top: vec![] };
        grammar.top = grammar.list(&json, &json["patterns"]);
        grammar
    }

    fn list(&mut self, json: &Value, list: &Value) -> Vec<usize> {
        list.as_array().into_iter().flatten().flat_map(|p| self.one(json, p)).collect()
    }

    /// The numbers of a pattern, or of those that it includes. A list that includes itself through a stretch is known by its name.
    fn one(&mut self, json: &Value, value: &Value) -> Vec<usize> {
        if let Some(include) = value["include"].as_str() {
            let name = include.trim_start_matches('#');
            if let Some(known) = self.lists.get(name) {
                return known.clone();
            }
            let found = self.one(json, &json["repository"][name]);
            self.lists.insert(name.to_string(), found.clone());
            return found;
        }
        let Some(begin) = value["match"].as_str().or(value["begin"].as_str()) else {
            return self.list(json, &value["patterns"]);
        };
        let compiled = |text: &str| Regex::new(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let index = self.patterns.len();
        let shared = if value["match"].is_null() { &value["beginCaptures"] } else { &value["captures"] };
        self.patterns.push(Pattern {
            name: value["name"].as_str().map(String::from),
            begin: compiled(begin),
            rest: None,
            captures: captures(shared),
            end_captures: captures(&value["endCaptures"]),
        });
        if let Some(end) = value["end"].as_str() {
            // `#code` inside of a string's hole is the list that is being read: all patterns of the top, looked up later.
            let inside = value["patterns"].as_array().into_iter().flatten();
            let lists: Vec<usize> =
                inside.filter(|p| p["include"] != "#code").flat_map(|p| self.one(json, p)).collect();
            self.patterns[index].rest = Some((compiled(end), lists));
        }
        vec![index]
    }

    /// The scope of each byte: that of the innermost pattern, empty where there is none.
    pub fn scopes(&self, text: &str) -> Vec<String> {
        let mut scopes = vec![String::new(); text.len()];
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            // Every stretch ends with its line, so that a line is coloured by itself.
            self.line(line.trim_end_matches(['\r', '\n']), &mut scopes[start..start + line.len()]);
            start += line.len();
        }
        scopes
    }

    fn line(&self, line: &str, scopes: &mut [String]) {
        let mut stack: Vec<usize> = vec![];
        let mut at = 0;
        while at <= line.len() {
            let (inside, end) = match stack.last().and_then(|&i| self.patterns[i].rest.as_ref()) {
                Some((end, inside)) if !inside.is_empty() => (inside, Some(end)),
                Some((end, _)) => (&self.top, Some(end)),
                None => (&self.top, None),
            };
            let closing = end.and_then(|e| e.captures_at(line, at));
            let closing_at = closing.as_ref().and_then(|c| c.get(0)).map_or(usize::MAX, |m| m.start());
            let found = inside.iter().filter_map(|&i| self.patterns[i].begin.captures_at(line, at).map(|c| (i, c)));
            let best = found.min_by_key(|(_, c)| c.get(0).map_or(usize::MAX, |m| m.start()));
            let best = best.filter(|(_, c)| c.get(0).is_some_and(|m| m.start() < closing_at));
            let base = stack.iter().rev().find_map(|&i| self.patterns[i].name.clone()).unwrap_or_default();
            match (best, closing) {
                (Some((i, found)), _) => {
                    let pattern = &self.patterns[i];
                    let all = found.get(0).expect("a match has a whole").range();
                    scopes[at..all.start].fill(base.clone());
                    scopes[all.clone()].fill(pattern.name.clone().unwrap_or(base));
                    capture(&pattern.captures, &found, scopes);
                    if pattern.rest.is_some() {
                        stack.push(i);
                    }
                    // A match of nothing would be found for ever.
                    at = all.end.max(all.start + usize::from(pattern.rest.is_none() && all.is_empty()));
                }
                (None, Some(found)) => {
                    let all = found.get(0).expect("a match has a whole").range();
                    scopes[at..all.end].fill(base);
                    let closed = stack.pop().expect("what ends was begun");
                    capture(&self.patterns[closed].end_captures, &found, scopes);
                    at = all.end;
                }
                (None, None) => {
                    scopes[at..line.len()].fill(base);
                    return;
                }
            }
        }
    }
}

fn capture(names: &[(usize, String)], found: &regex::Captures<'_>, scopes: &mut [String]) {
    for (number, name) in names {
        if let Some(part) = found.get(*number) {
            scopes[part.range()].fill(name.clone());
        }
    }
}
