/* SPDX-License-Identifier: MIT
 *
 * The two programs of an expression: as PCRE2 compiles it, and with callouts before each item. */
#include "patterns/regex.h"
#include "script/state.h"

#include "core/cpu_time.h"

#include <string.h>

enum {
  PATTERN_MOST = 64 * 1024,
  MATCH_LIMIT = 500 * 1000, /* steps of one place where a match may begin: some milliseconds, when they are short */
  DEPTH_LIMIT = 10 * 1000,
  HEAP_LIMIT_KIB = 4 * 1024,
  PLACES = 256,                    /* at a time */
  FEWEST_STEPS = 8,                /* of one, for the first program */
  WORK_AT_ONCE = 64 * 1024 * 1024, /* bytes that PLACES of them may look at: some 40 ms at worst */
  WORK_ALONE = 8 * WORK_AT_ONCE,   /* … and that one alone may */
  ITEM_SIZE = 16,                  /* of the pattern, for one that may look at all of the subject */
  WORK_PER_QUESTION = 16 * 1024,   /* of the second program, in callouts */
  TIME_MOST_MS = 250,              /* that a match may run, once it has shown to be a long one */
  PASSED_AT_ONCE = 16,             /* bytes in the time of a callout */
  CODE_SHARE = 8,                  /* of limits.script_memory, for machine code */
  CODE_MOST = 32 * 1024 * 1024,    /* … where that has no limit */
  CODE_TIMES = 32,                 /* it is hardly ever so many times as large as the program */
};

void regex_engine_limit(struct regex_engine *engine) {
  pcre2_set_max_pattern_length(engine->compiling, PATTERN_MOST);
  pcre2_match_context *contexts[] = {engine->matching, engine->watching};
  for (size_t i = 0; i < 2; i++) {
    pcre2_set_match_limit(contexts[i], MATCH_LIMIT);
    pcre2_set_depth_limit(contexts[i], DEPTH_LIMIT);
    pcre2_set_heap_limit(contexts[i], HEAP_LIMIT_KIB);
    if (engine->stack != NULL)
      pcre2_jit_stack_assign(contexts[i], NULL, engine->stack);
  }
}

bool regex_has_room_for_code(const struct script_state *state) {
  uint64_t limit = state->options.memory;
  return state->code_used < (limit > 0 ? limit / CODE_SHARE : CODE_MOST);
}

/* Memory may not be used far beyond the limit, where finalizers could not be called any more. */
static bool may_have_code(const struct script_state *state, const pcre2_code *program) {
  uint64_t limit = state->options.memory;
  size_t size = 0;
  pcre2_pattern_info(program, PCRE2_INFO_SIZE, &size);
  return regex_has_room_for_code(state) && (limit == 0 || state->memory_used + CODE_TIMES * size <= limit);
}

/* Without machine code it is interpreted. */
static void make_code(struct regex *regex, pcre2_code *program) {
  struct script_state *state = regex->state;
  size_t size = 0;
  if ((state != NULL && !may_have_code(state, program)) || pcre2_jit_compile(program, PCRE2_JIT_COMPLETE) != 0 ||
      state == NULL)
    return;
  pcre2_pattern_info(program, PCRE2_INFO_JITSIZE, &size);
  regex->code_size += size;
  state->code_used += size;
  state->memory_used += size;
}

static bool has_text(const struct regex *regex, const char *text) {
  return memmem(regex->pattern, regex->size, text, strlen(text)) != NULL;
}

int regex_init(struct regex *regex, const struct regex_engine *engine, uint32_t options, size_t *place) {
  int error = PCRE2_ERROR_NOMEMORY;
  regex->options = options | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  regex->code =
      pcre2_compile((PCRE2_SPTR)regex->pattern, regex->size, regex->options, &error, place, engine->compiling);
  if (regex->code == NULL)
    return error;
  regex->state = engine->state;
  make_code(regex, regex->code);
  uint32_t all = 0, references = 0;
  pcre2_pattern_info(regex->code, PCRE2_INFO_ALLOPTIONS, &all);
  pcre2_pattern_info(regex->code, PCRE2_INFO_BACKREFMAX, &references);
  regex->has_references = references > 0;
  regex->is_anchored = (all & PCRE2_ANCHORED) != 0;
  /* \G, and verbs such as (*COMMIT) and (*SKIP). What only looks like them is slower, and no less right. */
  regex->is_whole = !regex->is_anchored && (has_text(regex, "\\G") || has_text(regex, "(*"));
  regex->data = pcre2_match_data_create_from_pattern(regex->code, engine->general);
  return regex->data != NULL ? 0 : PCRE2_ERROR_NOMEMORY;
}

void regex_deinit(struct regex *regex) {
  pcre2_match_data_free(regex->data);
  pcre2_code_free(regex->watched);
  pcre2_code_free(regex->code);
  if (regex->state == NULL)
    return;
  regex->state->code_used -= regex->code_size;
  regex->state->memory_used -= regex->code_size;
}

/* One regex_match(). */
struct regex_run {
  struct regex *regex;
  const struct regex_engine *engine;
  const struct regex_question *question;
  const char *subject;
  size_t size;
  uint64_t began_ns; /* of this thread's own time, when it was asked first; 0 */
  size_t at;         /* where the last callout was */
  int64_t until;     /* the next question */
};

/* 0, or what the match ends as. */
static int ask_question(const struct regex_run *run) {
  return run->question->is_over(run->question->context) ? PCRE2_ERROR_CALLOUT : 0;
}

/* … once it is a long one. */
static int ask_for_more(struct regex_run *run) {
  if (ask_question(run) != 0)
    return PCRE2_ERROR_CALLOUT;
  uint64_t now = cpu_time_ran();
  if (run->began_ns == 0)
    run->began_ns = now;
  return now - run->began_ns > TIME_MOST_MS * UINT64_C(1000000) ? PCRE2_ERROR_MATCHLIMIT : 0;
}

/* Before each item. What was passed since the last one has been looked at. */
static int on_item(pcre2_callout_block *block, void *context) {
  struct regex_run *run = context;
  size_t at = block->current_position, passed = at > run->at ? at - run->at : run->at - at;
  run->at = at;
  run->until -= 1 + (int64_t)(run->regex->has_references ? run->size : passed) / PASSED_AT_ONCE;
  if (run->until >= 0)
    return 0;
  run->until = WORK_PER_QUESTION;
  return ask_for_more(run);
}

static int match_watched(struct regex_run *run, size_t offset, size_t last, uint32_t options) {
  struct regex *regex = run->regex;
  if (regex->watched == NULL) {
    int error;
    size_t place;
    regex->watched = pcre2_compile((PCRE2_SPTR)regex->pattern, regex->size, regex->options | PCRE2_AUTO_CALLOUT, &error,
                                   &place, run->engine->compiling);
    if (regex->watched == NULL) /* no memory, or with the callouts it is too large */
      return PCRE2_ERROR_MATCHLIMIT;
    make_code(regex, regex->watched);
  }
  run->at = offset;
  pcre2_set_offset_limit(run->engine->watching, last);
  pcre2_set_callout(run->engine->watching, on_item, run);
  return pcre2_match(regex->watched, (PCRE2_SPTR)run->subject, run->size, offset, options, regex->data,
                     run->engine->watching);
}

/* How many steps the first program may count at one of so many places, with so much of the subject to look at. */
static uint32_t count_steps(const struct regex *regex, size_t places, size_t left) {
  size_t work = places == 1 ? WORK_ALONE : WORK_AT_ONCE / places;
  size_t steps = work / (left + 1) / (1 + regex->size / ITEM_SIZE);
  return steps < FEWEST_STEPS ? FEWEST_STEPS : steps > MATCH_LIMIT ? MATCH_LIMIT : (uint32_t)steps;
}

/* From `offset` to `last`. `is_short`: it is a match limit, but not PCRE2's. */
static int match_places(struct regex_run *run, size_t offset, size_t last, uint32_t options, bool *is_short) {
  const struct regex *regex = run->regex;
  uint32_t steps = count_steps(regex, regex->is_anchored ? 1 : last - offset + 1, run->size - offset);
  pcre2_set_offset_limit(run->engine->matching, last);
  pcre2_set_match_limit(run->engine->matching, steps);
  int count = pcre2_match(regex->code, (PCRE2_SPTR)run->subject, run->size, offset, options, regex->data,
                          run->engine->matching);
  *is_short = count == PCRE2_ERROR_MATCHLIMIT && steps < MATCH_LIMIT;
  return count;
}

static size_t next_place(const struct regex_run *run, size_t offset) {
  do
    offset++;
  while ((run->regex->options & PCRE2_UTF) != 0 && offset < run->size &&
         ((unsigned char)run->subject[offset] & 0xc0) == 0x80);
  return offset;
}

/* Many places at a time; where that comes to nothing one by one, up to `alone`; and one of those by the second program.
 */
static int match_by_places(struct regex_run *run, size_t offset, uint32_t options) {
  bool is_short;
  for (size_t alone = 0;;) {
    size_t last = run->regex->is_anchored || run->size - offset < PLACES ? run->size : offset + PLACES - 1;
    if (offset < alone)
      last = offset;
    int count = match_places(run, offset, last, options, &is_short);
    if (is_short && last > offset && !run->regex->is_anchored) {
      alone = last + 1;
      continue;
    }
    if (is_short)
      count = match_watched(run, offset, last, options);
    if (count != PCRE2_ERROR_NOMATCH || last == run->size)
      return count;
    int over = offset < alone ? ask_for_more(run) : ask_question(run);
    if (over != 0)
      return over;
    offset = next_place(run, last);
    options = (options & ~PCRE2_NOTEMPTY_ATSTART) | PCRE2_NO_UTF_CHECK; /* it is checked, and begins elsewhere */
  }
}

int regex_match(struct regex *regex, const struct regex_engine *engine, const char *subject, size_t size, size_t offset,
                uint32_t options, const struct regex_question *question) {
  struct regex_run run = {.regex = regex,
                          .engine = engine,
                          .question = question,
                          .subject = subject,
                          .size = size,
                          .until = WORK_PER_QUESTION};
  return regex->is_whole ? match_watched(&run, offset, size, options) : match_by_places(&run, offset, options);
}
