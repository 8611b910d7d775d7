// The one token that looks ahead: a line end that ends a statement. It mirrors `lines` and `joined` of the compiler's
// `src/syntax/layout.rs`: a line goes on where the next one begins with `|>`, or with another infix operator and a blank.
// Inside round and square brackets the parser never asks for it, so there line ends are white space.

#include "tree_sitter/parser.h"

enum TokenType { NEWLINE };

void *tree_sitter_nn_external_scanner_create(void) { return NULL; }
void tree_sitter_nn_external_scanner_destroy(void *payload) {}
unsigned tree_sitter_nn_external_scanner_serialize(void *payload, char *buffer) { return 0; }
void tree_sitter_nn_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {}

static bool is_blank(int32_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == 0xfeff || c == 0xa0; }

static bool is_gap(int32_t c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Goes over the next characters if they are these.
static bool take(TSLexer *lexer, const char *word) {
  for (; *word; word++) {
    if (lexer->lookahead != *word) return false;
    lexer->advance(lexer, false);
  }
  return true;
}

// Whether what comes next continues the line before.
static bool continues(TSLexer *lexer) {
  int32_t first = lexer->lookahead;
  switch (first) {
    case 'a': return take(lexer, "and") && is_gap(lexer->lookahead);
    case 'o': return take(lexer, "or") && is_gap(lexer->lookahead);
    case '|': return take(lexer, "|>");
    case '=': return take(lexer, "==") && is_gap(lexer->lookahead);
    case '!': return take(lexer, "!=") && is_gap(lexer->lookahead);
    case '.': return take(lexer, "..") && is_gap(lexer->lookahead);
    case '<':
    case '>':
      lexer->advance(lexer, false);
      if (lexer->lookahead == '=') lexer->advance(lexer, false);
      return is_gap(lexer->lookahead);
    case '+':
    case '-':
    case '*':
    case '/':
    case '@':
    case '^':
      lexer->advance(lexer, false);
      return is_gap(lexer->lookahead);
    default: return false;
  }
}

bool tree_sitter_nn_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid_symbols) {
  if (!valid_symbols[NEWLINE]) return false;
  while (is_blank(lexer->lookahead)) lexer->advance(lexer, true);
  if (lexer->lookahead != '\n') return false;
  lexer->advance(lexer, false);
  lexer->mark_end(lexer);
  lexer->result_symbol = NEWLINE;
  // The next word, behind blanks and comments.
  for (;;) {
    while (is_blank(lexer->lookahead) || lexer->lookahead == '\n') lexer->advance(lexer, false);
    if (lexer->lookahead != '/') return !continues(lexer);
    lexer->advance(lexer, false);
    if (lexer->lookahead != '/') return !is_gap(lexer->lookahead);
    while (lexer->lookahead != '\n' && !lexer->eof(lexer)) lexer->advance(lexer, false);
  }
}
