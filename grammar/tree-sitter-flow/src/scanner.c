// What the grammar cannot tell by one token: whether a word of the language is a name where it stands, and two signs that depend on what
// follows them. The look-aheads are those of grammar/flow.pest (`*_start`, `item_follows`, `operand_start`, `nullable`, `percent`). Must
// not keep state: what it says follows from the text alone, so that an editor may parse again from anywhere.

#include "tree_sitter/parser.h"
#include <string.h>

enum TokenType { SOFT_NAME, AS_OF, NULLABLE, PERCENT, LABEL, ERROR_SENTINEL };

// Longer words than any of the language are cut: they are none of them.
#define WORD_MAX 16

static bool is_digit(int32_t c) { return c >= '0' && c <= '9'; }
static bool is_start(int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_char(int32_t c) { return is_start(c) || is_digit(c); }
static bool is_blank(int32_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0xFEFF; }

static void advance(TSLexer *lexer) { lexer->advance(lexer, false); }

// Passes over blanks and comments.
static void trivia(TSLexer *lexer) {
  for (;;) {
    while (is_blank(lexer->lookahead)) advance(lexer);
    if (lexer->lookahead != '#') return;
    while (!lexer->eof(lexer) && lexer->lookahead != '\n' && lexer->lookahead != '\r') advance(lexer);
  }
}

// Reads a word, which may be empty.
static void read_word(TSLexer *lexer, char *word) {
  unsigned length = 0;
  if (is_start(lexer->lookahead)) {
    while (is_char(lexer->lookahead)) {
      if (length < WORD_MAX) word[length++] = (char)lexer->lookahead;
      advance(lexer);
    }
  }
  word[length < WORD_MAX ? length : WORD_MAX - 1] = 0;
}

static bool is(const char *word, const char *other) { return strcmp(word, other) == 0; }

// `list` has a blank round each of its words.
static bool is_one_of(const char *word, const char *list) {
  size_t length = strlen(word);
  if (length == 0) return false;
  for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word)) {
    if (at > list && at[-1] == ' ' && at[length] == ' ') return true;
  }
  return false;
}

static const char INFIX[] = " and or not in is as like matches between div ";
static const char ORDER[] = " desc asc nulls then else ";

// Whether an operand begins here, which `operand_start` of the grammar decides. Leaves its first word, if it has one, in `word`.
static bool operand_start(TSLexer *lexer, char *word) {
  word[0] = 0;
  int32_t c = lexer->lookahead;
  if (c == '"' || c == '`' || c == '@' || c == '(' || is_digit(c)) return true;
  if (!is_start(c)) return false;
  read_word(lexer, word);
  return !is_one_of(word, INFIX) && !is_one_of(word, ORDER);
}

// A name, a word or one in backticks.
static bool name(TSLexer *lexer, char *word) {
  word[0] = 0;
  if (lexer->lookahead == '`') {
    advance(lexer);
    while (!lexer->eof(lexer) && lexer->lookahead != '`' && lexer->lookahead != '\n') advance(lexer);
    if (lexer->lookahead != '`') return false;
    advance(lexer);
    return true;
  }
  if (!is_start(lexer->lookahead)) return false;
  read_word(lexer, word);
  return true;
}

// `=`, and no `==` or `=>`.
static bool assign(TSLexer *lexer) {
  if (lexer->lookahead != '=') return false;
  advance(lexer);
  return lexer->lookahead != '=' && lexer->lookahead != '>';
}

// Whether `word`, behind which the lexer stands, begins a declaration, a clause or an expression rather than being a name.
static bool begins(TSLexer *lexer, const char *word) {
  char next[WORD_MAX];
  int32_t c = lexer->lookahead;
  if (is_one_of(word, " use test ")) return c == '"';
  if (is_one_of(word, " source table flow sink ")) {
    if (!name(lexer, next)) return false;
    trivia(lexer);
    return assign(lexer);
  }
  if (is(word, "param")) {
    if (!name(lexer, next)) return false;
    trivia(lexer);
    return lexer->lookahead == ':' || assign(lexer);
  }
  if (is(word, "fn")) {
    if (!name(lexer, next) || is_one_of(next, INFIX)) return false;
    trivia(lexer);
    return lexer->lookahead == '(';
  }
  if (is_one_of(word, " schema properties ")) return c == '{';
  if (is_one_of(word, " event_time malformed error ")) return is_start(c) || (c == '`' && !is(word, "malformed"));
  if (is_one_of(word, " watermark idle ")) return is_digit(c) || is_start(c);
  if (is_one_of(word, " sequence partition ")) return name(lexer, next) && is(next, "by");
  if (is(word, "ignore")) return name(lexer, next) && is(next, "updates");
  if (is(word, "start")) return c == '@' || (name(lexer, next) && is(next, "version"));
  if (is(word, "version")) return operand_start(lexer, next) && !is(next, "by");
  if (is(word, "mode")) return name(lexer, next) && is_one_of(next, " append overwrite merge scd2 ");
  if (is(word, "constraint")) {
    if (!name(lexer, next)) return false;
    trivia(lexer);
    return lexer->lookahead == ':';
  }
  if (is(word, "evolve")) return c != ',' && c != '=';
  if (is(word, "window")) {
    read_word(lexer, next);
    if (is_one_of(next, " tumble hop session cumulate ")) return true;
    trivia(lexer);
    return next[0] != 0 && lexer->lookahead == '(';
  }
  if (is(word, "match")) return c == '-' || c == '[' || c == '{' || operand_start(lexer, next) || is(next, "not");
  if (is(word, "unique")) return c == '(';
  if (is(word, "per")) {
    if (!operand_start(lexer, next)) return false;
    if (!is(next, "per")) return true;
    // `per per x`: the first is a column, behind it the clause.
    trivia(lexer);
    return !operand_start(lexer, next);
  }
  if (is_one_of(word, " by within late ")) return operand_start(lexer, next);
  return false;
}

// Words that are keywords where a name could stand, too. Others never need to be told apart.
static const char SOFT[] =
    " use param source table fn flow sink test schema event_time watermark idle sequence ignore malformed start version mode partition"
    " constraint properties evolve by within late per window match unique error of array map struct ";
static const char RESERVED[] = " null true false if then else and or not in is as like matches between div ";

static bool scan_word(TSLexer *lexer, const bool *valid) {
  char word[WORD_MAX], next[WORD_MAX];
  read_word(lexer, word);
  lexer->mark_end(lexer);
  trivia(lexer);
  if (valid[AS_OF] && is(word, "as")) {
    read_word(lexer, next);
    if (!is(next, "of")) return false;
    trivia(lexer);
    lexer->result_symbol = AS_OF;
    return operand_start(lexer, next);
  }
  if (valid[LABEL]) {
    lexer->result_symbol = LABEL;
    return lexer->lookahead == ':';
  }
  bool soft = is_one_of(word, SOFT);
  if (!valid[SOFT_NAME] || !(soft || is_one_of(word, RESERVED))) return false;
  lexer->result_symbol = SOFT_NAME;
  // `name:` and `name =` give names, whatever the word.
  if (lexer->lookahead == ':') return true;
  if (lexer->lookahead == '=') return assign(lexer) || (soft && !begins(lexer, word));
  if (is_one_of(word, " array map struct ")) return lexer->lookahead != '<';
  if (is(word, "of")) return !operand_start(lexer, next);
  return soft && !begins(lexer, word);
}

static bool scan_percent(TSLexer *lexer) {
  while (is_digit(lexer->lookahead) || lexer->lookahead == '_') advance(lexer);
  if (lexer->lookahead == '.') {
    advance(lexer);
    if (!is_digit(lexer->lookahead)) return false;
    while (is_digit(lexer->lookahead) || lexer->lookahead == '_') advance(lexer);
  }
  if (lexer->lookahead != '%') return false;
  advance(lexer);
  lexer->mark_end(lexer);
  lexer->result_symbol = PERCENT;
  int32_t c = lexer->lookahead;
  return !(is_char(c) || c == '"' || c == '(' || c == '@' || c == '[' || c == '`');
}

static bool scan_nullable(TSLexer *lexer) {
  advance(lexer);
  lexer->mark_end(lexer);
  lexer->result_symbol = NULLABLE;
  if (lexer->lookahead != '?') return true;
  advance(lexer);
  return lexer->lookahead == '?';
}

void *tree_sitter_flow_external_scanner_create(void) { return NULL; }
void tree_sitter_flow_external_scanner_destroy(void *payload) { (void)payload; }
unsigned tree_sitter_flow_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}
void tree_sitter_flow_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}

bool tree_sitter_flow_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid) {
  (void)payload;
  if (valid[ERROR_SENTINEL]) return false;
  while (is_blank(lexer->lookahead)) lexer->advance(lexer, true);
  int32_t c = lexer->lookahead;
  if ((valid[SOFT_NAME] || valid[AS_OF] || valid[LABEL]) && is_start(c)) return scan_word(lexer, valid);
  if (valid[PERCENT] && is_digit(c)) return scan_percent(lexer);
  if (valid[NULLABLE] && c == '?') return scan_nullable(lexer);
  return false;
}
