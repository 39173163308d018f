/* SPDX-License-Identifier: MIT
 *
 * What the Lua states of one process have in common: the dictionaries of moongate.shared, by name, and the metrics that
 * scripts have made. It outlives versions of files. Any thread. */
#pragma once

#include "core/dictionary.h"
#include "core/mailbox.h"
#include "core/printer.h"
#include "metrics/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_shared;
struct value;

/* Of the config's `limits`. */
struct shared_limits {
  unsigned shared_dictionaries; /* that may be made */
  uint64_t shared_memory;       /* bytes of each dictionary that is made from now on */
  unsigned metric_series;       /* of scripts */
};

enum {
  SHARED_DICTIONARIES = 64,
  SHARED_DICTIONARY_BYTES = 16 * 1024 * 1024,
  SHARED_NAME_MOST = 64, /* bytes of a dictionary's name */
};

/* With the limits above. One reference. NULL without memory. */
struct script_shared *script_shared_new(void);
struct script_shared *script_shared_ref(struct script_shared *shared);
void script_shared_unref(struct script_shared *shared); /* NULL is nothing */

/* What is there already stays as it is. */
void script_shared_limit(struct script_shared *shared, const struct shared_limits *limits);

/* The dictionary of that name, made when it is not there: it stays as long as what is shared. NULL and *status: -ENOSPC
 * (too many), -ENOMEM. */
struct dictionary *script_shared_dictionary(struct script_shared *shared, const char *name, int *status);

/* How many may be made, for messages. */
unsigned script_shared_dictionary_limit(struct script_shared *shared);

/* Where scripts print to without waiting: standard output, and with `is_error` standard error; as set, they outlive
 * who prints. NULL, as at first: what is printed is waited for. */
void script_shared_set_printers(struct script_shared *shared, struct printer printers[2]);
struct printer *script_shared_printer(const struct script_shared *shared, bool is_error);

struct registry *script_shared_metrics(struct script_shared *shared);

/* Calls `each` for every dictionary, in the order of making. */
void script_shared_each_dictionary(struct script_shared *shared,
                                   void (*each)(void *context, const char *name, const struct dictionary_size *size),
                                   void *context);

/* What a worker's Lua asks of the control thread: a snapshot of all that is counted. First in what holds it. */
struct shared_question {
  struct message message;
  void *context;         /* who answers, for itself */
  const void *worker;    /* whose connection it is asked for, a struct worker; NULL: for none */
  struct mailbox *asker; /* where the answer goes */
  bool by_client;        /* asked: what is counted by client address, rather than all of the snapshot */
  /* The answer has come, on the thread that asked: `answer` is the callee's (NULL: no memory). */
  void (*on_answer)(struct message *message, void *receiver);
  /* There is none, because the asker has ended; on any thread. Frees it. */
  void (*drop)(struct shared_question *question);
  struct value *answer;
};

/* Who is asked: hands the question on, or returns false. NULL: nobody, as at first. */
typedef bool shared_asked_fn(void *context, struct shared_question *question);
void script_shared_set_asked(struct script_shared *shared, shared_asked_fn *asked, void *context);

/* False: nobody can be asked, and the question is still the caller's. */
bool script_shared_ask(struct script_shared *shared, struct shared_question *question);
