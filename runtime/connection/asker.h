/* SPDX-License-Identifier: MIT
 *
 * Who has functions of a route run, one at a time, and takes their answers: an exchange, in whose record it is
 * embedded, or something that no connection has to stand for, such as a name that several wait for. It knows what runs
 * for it, not who waits; that is its owner's, who also bounds the wait, and cancels it before the worker's Lua side
 * goes (script_worker_free(), which sees to exchanges). Of the worker's thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct asker;
struct exchange;
struct route;
struct worker;

enum { FUNCTION_ANSWER_SHOWN_SIZE = 64 };

/* What a function of the route answered. */
struct function_answer {
  enum {
    ANSWER_NONE,
    ANSWER_VALUES,
    ANSWER_ERROR,
    ANSWER_STOPPED
  } kind;        /* ERROR: it raised; STOPPED: by the watchdog. Logged already */
  bool truthy;   /* its first value */
  char *string;  /* its first value, when a string (malloc'd, the asker's) */
  double number; /* its first number */
  bool has_number;
  bool odd_second;                        /* its second value is neither a number nor nil */
  char shown[FUNCTION_ANSWER_SHOWN_SIZE]; /* what it returned, as people write it: `"a name", 80`, `nothing` */
};

struct asker_ops {
  /* Whose Lua state answers. */
  struct worker *(*worker)(const struct asker *asker);
  /* The route whose function is asked, or was. */
  const struct route *(*route)(const struct asker *asker);
  /* In whose context functions are called, and to whose connection the log points. NULL: it has none. */
  struct exchange *(*exchange)(struct asker *asker);
  /* Without an exchange: what the function is asked about, its one argument. */
  const char *(*subject)(const struct asker *asker);
  /* The answer that was waited for is there: asker_ask() takes it. */
  void (*answered)(struct asker *asker);
};

struct asker {
  const struct asker_ops *ops;
  void *script;                   /* what script_hooks has running for it: a function, or an exchange's handler */
  struct function_answer *answer; /* of the function that was asked last, until it is taken; NULL mostly */
};

static inline struct exchange *asker_exchange(struct asker *asker) {
  return asker->ops->exchange ? asker->ops->exchange(asker) : NULL;
}

/* Something runs for it, or it has an answer that is not taken. */
static inline bool asker_is_busy(const struct asker *asker) { return asker->script || asker->answer; }

enum asker_result {
  ASKER_ANSWERED,  /* `answer` is filled; its string is the caller's to free */
  ASKER_WAITS,     /* ops->answered comes, unless it is cancelled; ask again then */
  ASKER_CANCELLED, /* by what the function did, where it stood */
  ASKER_FAILED,    /* it could not be begun: no memory */
};

/* Asks function `slot` of the route's version, or takes the answer that has come. */
enum asker_result asker_ask(struct asker *asker, int slot, struct function_answer *answer);

/* From script/: what the function answered. Takes over `answer` (malloc'd); NULL: there was no memory for it. */
void asker_answered(struct asker *asker, struct function_answer *answer);

/* What runs for it is stopped, an answer dropped; nothing calls back. */
void asker_cancel(struct asker *asker);
