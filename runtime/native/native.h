/* SPDX-License-Identifier: MIT
 *
 * What the control thread's Lua finds as "moongate.native", and how its tasks are begun from rooms that know no lua.h:
 * what the module's functions do is handed down as a table of plain C functions. */
#pragma once

#include "core/error.h"
#include "script/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_host;
struct script_options;
struct script_place;

/* A function of the module that is being waited for. */
struct native_call;

/* The one answer of a call, from the control thread, within the function or later; takes over `value` (NULL or not
 * whole: the caller in Lua gets an error, out of memory). The call is gone then. Last thing in an event, since it runs
 * Lua. */
void native_call_answer(struct native_call *call, struct value *value);

/* What is called when who waits for the call goes, from within that: the call is still to be answered, later (NULL:
 * nothing). */
void native_call_on_cancel(struct native_call *call, void (*on_cancel)(void *context), void *context);

/* A call that C makes itself: `on_answer` is handed the value, which is the callee's and may be NULL. NULL without
 * memory.
 */
typedef void native_answer_fn(void *context, struct value *value);
struct native_call *native_call_new(native_answer_fn *on_answer, void *context);

/* What the command line gave; NULL and 0: not given. */
struct native_settings {
  const char *config;
  const char *routes;
  const char *control;
  const char *file; /* check: nothing but this route file */
  unsigned workers;
  bool strict;
};

/* `context` is native_module's. `settings` with its strings, `name` and `text` are valid during the call only. What
 * stands below `defaults` may be NULL: then its function raises "moongate is not running".
 */
struct native_ops {
  /* native.check{config=, routes=, file=, workers=}: may block. The caller frees the value. */
  struct value *(*check)(void *context, const struct native_settings *settings);
  /* native.run{config=, routes=, workers=, strict=, control=}: answers with the exit status when it has stopped. */
  void (*run)(void *context, const struct native_settings *settings, struct native_call *call);
  /* native.defaults(): { version =, root =, terminal =, columns =, rows = }, of the process and its terminal. */
  struct value *(*defaults)(void *context);
  /* native.ask(question, arguments): one of control/questions.c, with a table of plain data. Answers what that says, or
   * { error =, status = }. */
  void (*ask)(void *context, const char *question, const struct value *arguments, struct native_call *call);
  /* native.reload(): answers, when all is live or refused, with { ok =, generation =, ms =, changed = { file, … },
   * removed = { file, … }, faults = { { file, line, route, field, message }, … }, warnings = { the same, … },
   * notes = { text, … } }; a note says which setting of the config needs a restart. */
  void (*reload)(void *context, struct native_call *call);
  /* native.put_file{ name =, text = }: answers { status = 200 | 201 | 409 | 422 | 500, generation =, faults = { … },
   * message = }. `text` may hold any bytes. The name has been checked to be a plain one that ends in ".lua". */
  void (*put_file)(void *context, const char *name, const char *text, size_t size, struct native_call *call);
  /* native.delete_file(name): answers { status = 200 | 404 | …, generation =, message = }. */
  void (*delete_file)(void *context, const char *name, struct native_call *call);
  /* native.drain(seconds): stops as SIGTERM does, within `ms` (-1: timeouts.shutdown); when it stops already a time
   * that is given takes the place of the one that there was. Answers once all connections are gone, with { cut = how
   * many had to be ended, seconds = that it took }; the process ends then. */
  void (*drain)(void *context, int64_t ms, struct native_call *call);
  /* native.keep_diagnosis(trigger, text): keeps it as a file under the state directory: { path = } or { path =, error =
   * }. `trigger` is a plain word. */
  void (*keep_diagnosis)(void *context, const char *trigger, const char *text, size_t size, struct native_call *call);
};

struct script_given; /* loading/load.h */

/* What a spec starts. */
struct testing_settings {
  const struct script_given *config;
  const struct script_given *routes; /* NULL: those of the directory */
  const char *directory;
};

/* A connection that a spec asks about. */
struct testing_question {
  uint16_t port;
  const char *domain; /* NULL: none */
  const char *client_ip;
  const char *tls_version; /* "1.2"; NULL: not known */
  bool is_tls;
};

/* Moongates for specs, by their numbers (lua/moongate/testing.lua is in front of it). What is not there any more
 * answers with nothing. */
struct testing_ops {
  /* { faults = { … } }, or also { id =, ports = { { route =, wanted =, port = }, … } } when it runs. */
  struct value *(*start)(void *context, const struct testing_settings *settings);
  /* { faults =, names = of the routes }: would they load? */
  struct value *(*check)(void *context, const struct testing_settings *settings);
  /* { faults = } or { listens =, verdicts = { { route =, verdict =, reason =, tie =, domain =, client_ip = }, … } }:
   * those that match, in the order of choice, then the others. */
  struct value *(*match)(void *context, const struct testing_settings *settings,
                         const struct testing_question *question);
  /* Answers when all of it is gone. */
  void (*stop)(void *context, unsigned id, uint64_t drain_ms, struct native_call *call);
  void (*snapshot)(void *context, unsigned id, struct native_call *call); /* as native_ops.snapshot */
  struct value *(*status)(void *context, unsigned id);
  struct value *(*log)(void *context, unsigned id); /* { text = all its lines }; of one that is stopped, once */
  /* 0 and `fd` is going to be a connection of the moongate; or a negative errno: -EINVAL for an `ip` that is none. */
  int (*accept)(void *context, unsigned id, int fd, const char *ip, uint16_t client_port, uint16_t port);
  int (*connections)(void *context, unsigned id); /* how many it has; below 0: it is not there any more */
  void (*advance)(void *context, uint64_t ns);    /* the clock */
  double (*next_timer)(void *context);            /* in so many seconds something may be due; below 0: never */
};

/* Who answers. */
struct native_module {
  const struct native_ops *ops;
  void *context;
  const struct testing_ops *testing; /* NULL: there is none */
};

/* As script_host_init(); `module` outlives the host. */
int native_host_init(struct script_host *host, const struct script_place *place, const struct script_options *options,
                     struct native_module *module, struct error *error);

/* A task that was begun from C; embedded, and kept by its owner until on_ended, or until the host is gone (which calls
 * nobody). */
struct native_task {
  /* `status` is the number that it returned (0 when it returned none), or -1 with what it raised in `message`, or -1
   * and NULL when it was cancelled. The record may be freed in it. */
  void (*on_ended)(struct native_task *task, int status, const char *message);
  size_t count; /* until it has started: its arguments */
  char *const *words;
  const char *word;
  int fd;
};

/* Runs require(module)[name](words…) as a task. 0; or a negative errno and `error`: then on_ended is not called. It may
 * be called before this returns 0. */
int native_start_words(struct script_host *host, struct native_task *task, const char *module, const char *name,
                       size_t count, char *const *words, struct error *error);

/* Runs require(module)[name](socket, word) as a task on the connected descriptor, which is the task's when this returns
 * 0, and closed otherwise. */
int native_start_socket(struct script_host *host, struct native_task *task, const char *module, const char *name,
                        int fd, const char *word, struct error *error);
