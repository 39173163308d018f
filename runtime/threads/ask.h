/* SPDX-License-Identifier: MIT
 *
 * Asking the workers: a question goes to all of them, or to those that it concerns, or to the control thread itself,
 * each goes through its own in stretches between two of its events, and the control thread makes the answer of what has
 * come back. Who does not answer in time is left out, and told with what it said last. Lives on the control thread. */
#pragma once

#include "core/list.h"
#include "core/loop.h"
#include "native/native.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ask;
struct ask_part;
struct record_type;
struct threads;
struct worker;

enum { ASK_PATIENCE_MS = 3000, ASK_MOST = 16 /* questions at a time, beyond which they are refused */ };

/* A kind of question. All but `step` and `give_up` are called on the control thread. */
struct ask_kind {
  size_t answer_size; /* of what one answers; zeroed at first */
  /* What is remembered of it: plain data, which stands at `brief_at` in an answer. NULL: nothing is. */
  const struct record_type *brief;
  size_t brief_at;
  bool here;     /* not the workers are asked, but the control thread: what it has to go through is long as well */
  bool finishes; /* what has begun is done to its end, whether or not anybody waits for it */
  /* Does it concern that worker? NULL: all of them. */
  bool (*concerns)(const void *question, unsigned worker);
  /* A stretch, well under a millisecond, on the thread that is asked; the question is not changed meanwhile. True:
   * there is more. `part->begun` is false the first time. */
  bool (*step)(struct ask_part *part);
  /* In the place of the next stretch; NULL: there is nothing to let go of. */
  void (*give_up)(struct ask_part *part);
  /* The answer, of the parts that are back. NULL without memory. */
  struct value *(*report)(struct ask *ask);
  /* Lets go of an answer, and of the question; NULL: nothing is to be. */
  void (*clear)(void *answer);
  void (*free_question)(void *question);
};

/* What one of them is asked. */
struct ask_part {
  struct message message;
  struct ask *ask;
  struct worker *worker; /* NULL: the control thread */
  struct deferred turn;  /* … whose next stretch it is */
  uint64_t asked_ns;     /* its clock_ns() then */
  uint64_t lag_ns;       /* after which it began */
  bool begun;
  bool away; /* it is with who was asked: nobody else looks at the answer */
  bool done; /* gone through to its end */
  void *answer;
};

struct ask {
  struct list_node node; /* in asks->all */
  struct asks *asks;
  const struct ask_kind *kind;
  void *question;
  struct native_call *call; /* NULL: answered */
  atomic_bool given_up;     /* nobody waits any more */
  struct wheel_timer timer;
  size_t away; /* parts */
  size_t count;
  struct ask_part parts[];
};

/* The questions that are under way, and what was answered last. */
struct asks {
  struct loop *loop;
  const struct threads *threads;
  void *context; /* the reports': the struct instance, which this room does not know */
  struct list_node all, memories;
  size_t waiting; /* questions that are not answered; the rest have parts that are still away */
};

void asks_init(struct asks *asks, struct loop *loop, const struct threads *threads, void *context);

/* Answers who waits. After the workers' threads have ended and the loop's messages are delivered. Nothing when it is
 * zeroed. */
void asks_deinit(struct asks *asks);

/* `question` is the kind's, which frees it in any case. When who waits for the call goes, the workers are told to stop.
 */
void asks_begin(struct asks *asks, const struct ask_kind *kind, void *question, struct native_call *call);

/* What is told when something can't be asked: { status =, error = }. */
struct value *ask_refusal(int status, const char *message);
void ask_refuse(struct native_call *call, int status, const char *message);

/* In a report: did all answer, to the end? */
bool ask_is_complete(const struct ask *ask);

/* In a report: root.workers = { { number =, answered =, away =, age =, and what `brief` has }, … } of those that the
 * question concerns; `away`: it has not answered yet, but may; `age`: of what it said last, in seconds, where it ever
 * has. */
void ask_write_workers(const struct ask *ask, struct value *root);
