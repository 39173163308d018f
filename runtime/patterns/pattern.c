/* SPDX-License-Identifier: MIT
 *
 * A backtracking matcher over the text of the pattern. An item is a single character, a class (%a) or a set ([a-z]);
 * what follows it says how often. The results are LuaJIT's in every case, its faults included (ctests/patterns/
 * test_pattern.c and fuzz/fuzz_pattern.c compare them), so what looks odd here is so there: a NUL ends a pattern, a
 * set may begin with "]", a "-" at the end of a set stands for itself. */
#include "patterns/pattern.h"
#include "patterns/pattern_item.h"

#include <string.h>

const uint8_t pattern_kinds[256] = {
    [0] = CONTROL | ZERO,
    [1 ... 8] = CONTROL,
    ['\t' ... '\r'] = CONTROL | SPACE,
    [14 ... 31] = CONTROL,
    [' '] = SPACE,
    ['!' ... '/'] = PUNCTUATION,
    ['0' ... '9'] = DIGIT | HEXADECIMAL,
    [':' ... '@'] = PUNCTUATION,
    ['A' ... 'F'] = UPPER | HEXADECIMAL,
    ['G' ... 'Z'] = UPPER,
    ['[' ... '`'] = PUNCTUATION,
    ['a' ... 'f'] = LOWER | HEXADECIMAL,
    ['g' ... 'z'] = LOWER,
    ['{' ... '~'] = PUNCTUATION,
    [127] = CONTROL,
};

const uint8_t pattern_classes[32] = {
    ['a' & 31] = UPPER | LOWER,
    ['c' & 31] = CONTROL,
    ['d' & 31] = DIGIT,
    ['g' & 31] = UPPER | LOWER | DIGIT | PUNCTUATION,
    ['l' & 31] = LOWER,
    ['p' & 31] = PUNCTUATION,
    ['s' & 31] = SPACE,
    ['u' & 31] = UPPER,
    ['w' & 31] = UPPER | LOWER | DIGIT,
    ['x' & 31] = HEXADECIMAL,
    ['z' & 31] = ZERO,
};

enum {
  LETTER_STEPS = 8,    /* so many characters of a set are looked at in the time of a step, */
  COMPARED_STEPS = 16, /* … and so many compared in one go */
  PLAIN_TRIES = 32,
};

static const char *match_rest(struct pattern_match *match, const char *at, const char *pattern);

static const char *fail(struct pattern_match *match, const char *fault) {
  match->fault = fault;
  return NULL;
}

static bool ask_whether_over(struct pattern_match *match) {
  match->steps = PATTERN_STEPS;
  if (match->is_over == NULL || !match->is_over(match->context))
    return true;
  match->stopped = true;
  match->fault = "stopped";
  return false;
}

static inline bool spend(struct pattern_match *match, int64_t steps) {
  return (match->steps -= steps) >= 0 || ask_whether_over(match);
}

bool pattern_spend(struct pattern_match *match, size_t steps) { return spend(match, (int64_t)steps); }

static const char *find_set_end(struct pattern_match *match, const char *item) {
  const char *at = item + 1;
  if (*at == '^')
    at++;
  do { /* what comes first stands for itself, "]" as well */
    if (*at == '\0')
      return fail(match, "malformed pattern (missing ']')");
    if (*at++ == '%' && *at != '\0')
      at++;
  } while (*at != ']');
  return spend(match, (at - item) / LETTER_STEPS) ? at + 1 : NULL;
}

/* Behind the item; NULL: a fault. */
static inline const char *find_item_end(struct pattern_match *match, const char *item) {
  if (*item == '[')
    return find_set_end(match, item);
  if (*item != '%')
    return item + 1;
  return item[1] != '\0' ? item + 2 : fail(match, "malformed pattern (ends with '%')");
}

/* As often as it can, then less and less. */
static const char *match_most(struct pattern_match *match, const char *at, const char *item, const char *item_end) {
  int64_t cost = 1 + (item_end - item) / LETTER_STEPS, stretch = PATTERN_STEPS / cost + 1;
  const char *last = at, *end;
  for (bool more = true; more;) {
    const char *limit = match->end - last > stretch ? last + stretch : match->end;
    const char *passed = pass_run(item, item_end, last, limit);
    if (!spend(match, (passed - last) * cost))
      return NULL;
    more = passed == limit && limit < match->end;
    last = passed;
  }
  while ((end = match_rest(match, last, item_end + 1)) == NULL && match->fault == NULL && last > at)
    last--;
  return end;
}

/* As rarely as it can, then more and more. */
static const char *match_least(struct pattern_match *match, const char *at, const char *item, const char *item_end) {
  int64_t cost = 1 + (item_end - item) / LETTER_STEPS;
  for (;; at++) {
    const char *end = match_rest(match, at, item_end + 1);
    if (end != NULL || match->fault != NULL)
      return end;
    if (at >= match->end || !item_takes(item, item_end, (unsigned char)*at) || !spend(match, cost))
      return NULL;
  }
}

static const char *match_opened(struct pattern_match *match, const char *at, const char *pattern, ptrdiff_t length) {
  if (match->captures == PATTERN_CAPTURES)
    return fail(match, "too many captures");
  match->capture[match->captures++] = (struct pattern_capture){at, length};
  const char *end = match_rest(match, at, pattern);
  if (end == NULL)
    match->captures--;
  return end;
}

static const char *match_closed(struct pattern_match *match, const char *at, const char *pattern) {
  unsigned number = match->captures;
  while (number > 0 && match->capture[number - 1].length != PATTERN_OPEN)
    number--;
  if (number == 0)
    return fail(match, "invalid pattern capture");
  struct pattern_capture *capture = &match->capture[number - 1];
  capture->length = at - capture->start;
  const char *end = match_rest(match, at, pattern);
  if (end == NULL)
    capture->length = PATTERN_OPEN;
  return end;
}

/* %bxy, at the x. */
static const char *match_balanced(struct pattern_match *match, const char *at, const char *pair) {
  if (pair[0] == '\0' || pair[1] == '\0')
    return fail(match, "unbalanced pattern");
  if (at == match->end || *at != pair[0])
    return NULL;
  size_t open = 1;
  while (++at < match->end) {
    if (!spend(match, 1))
      return NULL;
    if (*at == pair[1]) {
      if (--open == 0)
        return at + 1;
    } else if (*at == pair[0]) {
      open++;
    }
  }
  return NULL;
}

/* %f[set], at the set: between one that it does not take and one that it does. `next` is behind the set. */
static const char *match_frontier(struct pattern_match *match, const char *at, const char *set, const char **next) {
  if (*set != '[')
    return fail(match, "missing '[' after '%f' in pattern");
  const char *set_end = *next = find_item_end(match, set);
  if (set_end == NULL || !spend(match, (set_end - set) / LETTER_STEPS))
    return NULL;
  unsigned char before = at == match->subject ? '\0' : (unsigned char)at[-1];
  return !item_takes(set, set_end, before) && item_takes(set, set_end, (unsigned char)*at) ? at : NULL;
}

/* %1 to %9: what that capture has taken, once more. */
static const char *match_again(struct pattern_match *match, const char *at, char digit) {
  unsigned number = (unsigned)(digit - '0');
  if (number == 0 || number > match->captures || match->capture[number - 1].length == PATTERN_OPEN)
    return fail(match, "invalid capture index");
  const struct pattern_capture *capture = &match->capture[number - 1];
  ptrdiff_t length = capture->length;
  if (length == PATTERN_POSITION || match->end - at < length || !spend(match, length / COMPARED_STEPS))
    return NULL;
  return memcmp(capture->start, at, (size_t)length) == 0 ? at + length : NULL;
}

/* What begins with "%" and is no item. False: it is one. Else `at` is behind it, or NULL. */
static inline bool match_escape(struct pattern_match *match, const char **at, const char **pattern) {
  const char *escape = *pattern;
  switch (escape[1]) {
  case 'b':
    *at = match_balanced(match, *at, escape + 2);
    *pattern = escape + 4;
    return true;
  case 'f':
    *at = match_frontier(match, *at, escape + 2, pattern);
    return true;
  case '0' ... '9':
    *at = match_again(match, *at, escape[1]);
    *pattern = escape + 2;
    return true;
  default:
    return false;
  }
}

/* Calls itself only where there is more than one way to go on, or something to take back. */
static const char *match_items(struct pattern_match *match, const char *at, const char *pattern) {
  while (spend(match, 1)) {
    switch (*pattern) {
    case '\0':
      return at;
    case '(':
      return pattern[1] == ')' ? match_opened(match, at, pattern + 2, PATTERN_POSITION)
                               : match_opened(match, at, pattern + 1, PATTERN_OPEN);
    case ')':
      return match_closed(match, at, pattern + 1);
    case '$':
      if (pattern[1] == '\0')
        return at == match->end ? at : NULL;
      break;
    case '%':
      if (match_escape(match, &at, &pattern)) {
        if (at == NULL)
          return NULL;
        continue;
      }
      break;
    default:
      break;
    }
    const char *item_end = find_item_end(match, pattern);
    if (item_end == NULL)
      return NULL;
    if (*item_end == '*')
      return match_most(match, at, pattern, item_end);
    if (*item_end == '-')
      return match_least(match, at, pattern, item_end);
    bool taken = at < match->end && item_takes(pattern, item_end, (unsigned char)*at);
    if (*item_end == '+')
      return taken ? match_most(match, at + 1, pattern, item_end) : NULL;
    if (*item_end == '?') {
      const char *end = taken ? match_rest(match, at + 1, item_end + 1) : NULL;
      if (end != NULL || match->fault != NULL)
        return end;
      pattern = item_end + 1;
    } else if (taken) {
      at++;
      pattern = item_end;
    } else {
      return NULL;
    }
  }
  return NULL;
}

static const char *match_rest(struct pattern_match *match, const char *at, const char *pattern) {
  if (match->depth == PATTERN_DEPTH)
    return fail(match, "pattern too complex");
  match->depth++;
  const char *end = match_items(match, at, pattern);
  match->depth--;
  return end;
}

void pattern_begin(struct pattern_match *match, const char *subject, size_t size, bool (*is_over)(void *context),
                   void *context) {
  match->subject = subject;
  match->end = subject + size;
  match->is_over = is_over;
  match->context = context;
  match->steps = PATTERN_STEPS;
  match->stopped = false;
  match->fault = NULL;
  match->depth = match->captures = 0;
}

const char *pattern_match_at(struct pattern_match *match, const char *at, const char *pattern) {
  match->depth = match->captures = 0;
  return match_rest(match, at, pattern);
}

/* What a match has to begin with, or -1: the pattern's first item is no plain character, or need not be there. */
static inline int first_character(const char *pattern) {
  switch (*pattern) {
  case '\0':
  case '.':
  case '[':
  case '(':
  case ')':
  case '%':
  case '$':
    return -1;
  default:
    return pattern[1] == '*' || pattern[1] == '?' || pattern[1] == '-' ? -1 : (unsigned char)*pattern;
  }
}

const char *pattern_search(struct pattern_match *match, const char *at, const char *pattern, const char **end) {
  int first = first_character(pattern);
  for (;; at++) {
    if (first >= 0) {
      const char *found = memchr(at, first, (size_t)(match->end - at));
      if (found == NULL || !spend(match, (found - at) / COMPARED_STEPS))
        return NULL;
      at = found;
    }
    *end = pattern_match_at(match, at, pattern);
    if (*end != NULL)
      return at;
    if (match->fault != NULL || at == match->end)
      return NULL;
  }
}

bool pattern_is_special(const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    switch (text[i]) {
    case '^':
    case '$':
    case '*':
    case '+':
    case '?':
    case '.':
    case '(':
    case '[':
    case '%':
    case '-':
      return true;
    default:
      break;
    }
  return false;
}

/* The usual text is found, or known not to be there, by its first character. Only one that begins again and again is
 * left to memmem(), which takes its time to prepare. */
const char *pattern_find_plain(const char *subject, size_t size, const char *text, size_t length) {
  if (length == 0)
    return subject;
  for (unsigned tries = 0; tries < PLAIN_TRIES && length <= size; tries++) {
    const char *first = memchr(subject, *text, size - length + 1);
    if (first == NULL || memcmp(first, text, length) == 0)
      return first;
    size -= (size_t)(first + 1 - subject);
    subject = first + 1;
  }
  return length <= size ? memmem(subject, size, text, length) : NULL;
}
