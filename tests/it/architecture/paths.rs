//! The paths that a Rust text names, in `use` trees and in code. It knows tokens, not types.

/// A path as it is written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    /// The module in which it stands, from the crate's root.
    pub(super) module: Vec<String>,
    pub(super) line: usize,
    /// Whether a `use` brings it in; then a single word counts as a path too.
    pub(super) imported: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Word,
    Sign,
    Literal,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    text: String,
    line: usize,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }
}

/// All paths of the text of a module, with those in string literals that begin like one, because
/// attributes such as `#[serde(with = "crate::x")]` import as well.
pub(super) fn named(text: &str, module: &[String]) -> Vec<Named> {
    let mut walk = Walk { tokens: tokens(text), at: 0, depth: 0, named: Vec::new() };
    walk.run(module);
    walk.named
}

struct Walk {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    named: Vec<Named>,
}

impl Walk {
    fn run(&mut self, file: &[String]) {
        let mut inline: Vec<(String, usize)> = Vec::new();
        while let Some(token) = self.tokens.get(self.at).cloned() {
            let module: Vec<String> =
                file.iter().cloned().chain(inline.iter().map(|(name, _)| name.clone())).collect();
            if token.is("mod") && self.is_at(2, "{") {
                inline.push((self.tokens[self.at + 1].text.clone(), self.depth));
                self.at += 2;
            } else if token.is("use") && !self.is_at(1, "<") {
                self.at += 1;
                self.use_tree(&[], &module);
            } else if token.is("{") {
                self.depth += 1;
                self.at += 1;
            } else if token.is("}") {
                self.depth = self.depth.saturating_sub(1);
                inline.retain(|(_, depth)| *depth < self.depth);
                self.at += 1;
            } else {
                self.code(&token, &module);
            }
        }
    }

    fn is_at(&self, ahead: usize, text: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| token.is(text))
    }

    /// One branch of a `use`; stands behind it afterwards.
    fn use_tree(&mut self, prefix: &[String], module: &[String]) {
        let mut segments = prefix.to_vec();
        while let Some(token) = self.tokens.get(self.at).cloned() {
            if token.is("{") {
                self.use_group(&segments, module);
                return;
            }
            if token.is("as") {
                self.at += 2;
                continue;
            }
            if token.is(",") || token.is("}") || token.is(";") {
                break;
            }
            self.at += 1;
            if token.kind == Kind::Word || token.is("*") {
                segments.push(token.text.clone());
            }
        }
        let line = self.tokens[self.at.min(self.tokens.len()) - 1].line;
        self.named.push(Named { segments, module: module.to_vec(), line, imported: true });
    }

    fn use_group(&mut self, prefix: &[String], module: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is_at(0, "}") {
            if self.is_at(0, ",") {
                self.at += 1;
            } else {
                self.use_tree(prefix, module);
            }
        }
        self.at += 1;
    }

    fn code(&mut self, token: &Token, module: &[String]) {
        let line = token.line;
        self.at += 1;
        let mut segments = match token.kind {
            Kind::Sign => return,
            Kind::Word => vec![token.text.clone()],
            Kind::Literal => {
                let path = ["crate::", "self::", "super::", "savio_relay::"];
                if !path.iter().any(|start| token.text.starts_with(start)) {
                    return;
                }
                token.text.split("::").map(str::to_owned).collect()
            }
        };
        while self.is_at(0, "::") {
            let next = self.tokens.get(self.at + 1).filter(|next| next.kind == Kind::Word);
            let Some(next) = next else { break };
            segments.push(next.text.clone());
            self.at += 2;
        }
        self.named.push(Named { segments, module: module.to_vec(), line, imported: false });
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { rest: text, line: 1, tokens: Vec::new() };
    while let Some(next) = reader.rest.chars().next() {
        reader.token(next);
    }
    reader.tokens
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    fn token(&mut self, next: char) {
        if let Some(length) = comment(self.rest) {
            self.skip(length);
        } else if let Some((before, content, after)) = string(self.rest) {
            let text = self.rest[before..before + content].to_owned();
            self.push(Kind::Literal, text, before + content + after);
        } else if next == '\'' {
            let length = character(self.rest);
            self.push(Kind::Literal, String::new(), length);
        } else if next.is_alphanumeric() || next == '_' {
            let raw = if self.rest.starts_with("r#") { 2 } else { 0 };
            let length = word(&self.rest[raw..]);
            let text = self.rest[raw..raw + length].to_owned();
            self.push(Kind::Word, text, raw + length);
        } else if self.rest.starts_with("::") {
            self.push(Kind::Sign, "::".to_owned(), 2);
        } else if next.is_whitespace() {
            self.skip(next.len_utf8());
        } else {
            self.push(Kind::Sign, next.to_string(), next.len_utf8());
        }
    }

    fn push(&mut self, kind: Kind, text: String, length: usize) {
        self.tokens.push(Token { kind, text, line: self.line });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self.rest.split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The length of the comment that the text begins with. Block comments nest.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < text.len() {
        let rest = &text.as_bytes()[at..];
        let step = if rest.starts_with(b"/*") {
            depth += 1;
            2
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            2
        } else {
            1
        };
        at += step;
    }
    Some(at)
}

/// The lengths of the opening, the content and the closing of the string that the text begins with.
fn string(text: &str) -> Option<(usize, usize, usize)> {
    let letters = text.find(|c: char| !matches!(c, 'b' | 'c' | 'r')).unwrap_or(text.len());
    let prefix = &text[..letters];
    if !["", "b", "c", "r", "br", "cr"].contains(&prefix) {
        return None;
    }
    let hashes = text[letters..].len() - text[letters..].trim_start_matches('#').len();
    let open = letters + hashes + 1;
    if !text[letters + hashes..].starts_with('"') || (hashes > 0 && !prefix.ends_with('r')) {
        return None;
    }
    if prefix.ends_with('r') {
        let closing = format!("\"{}", "#".repeat(hashes));
        let content = text[open..].find(&closing).unwrap_or(text.len() - open);
        return Some((open, content, closing.len().min(text.len() - open - content)));
    }
    let mut escaped = false;
    for (at, c) in text[open..].char_indices() {
        if c == '"' && !escaped {
            return Some((open, at, 1));
        }
        escaped = c == '\\' && !escaped;
    }
    Some((open, text.len() - open, 0))
}

/// The length of the character literal or lifetime that the text begins with.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let behind = escaped + c.len_utf8();
            text[behind..].find('\'').map_or(text.len(), |end| behind + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1 + word(&text[1..]),
    }
}
