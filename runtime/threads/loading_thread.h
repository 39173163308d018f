/* SPDX-License-Identifier: MIT
 *
 * One loader thread: it does jobs that it is handed, and says so. Who is given up in the midst of one frees itself. */
#pragma once

#include "core/blocking.h"
#include "core/error.h"
#include "core/mailbox.h"
#include "loading/load.h"

#include <stdbool.h>
#include <stdint.h>

struct account;
struct loading;
struct loading_thread;

/* Embedded in what is to be done. It is ended by one of the callbacks; `drop` follows on `on_lost` only. */
struct loading_job {
  struct loading_job *next;
  void (*run)(struct loading_job *job);     /* on the loader thread */
  void (*on_done)(struct loading_job *job); /* on the control thread, after it; the job is its owner's again */
  /* On the control thread: it did not come back, `message` says so for people. The job, and all that it uses, is the
   * lost thread's, for which `drop` will be called. */
  void (*on_lost)(struct loading_job *job, enum loader_loss loss, const char *message);
  /* On the control thread, now and then while no thread can be had for it, since too many are lost. True: it does not
   * wait for one, and is its owner's again. */
  bool (*on_refused)(struct loading_job *job, const char *message);
  void (*drop)(struct loading_job *job); /* nobody waits for it: frees it. On any thread */
};

/* What the control thread's mailbox delivers: a job is done, or the thread has left. */
struct loading_news {
  struct message message;
  struct loading *loading;
};

/* Who has a thread, and what it works for. */
struct loading_thread_owner {
  struct loading *loading;
  struct loader *loader;
  struct mailbox *control;       /* NULL: it is never told */
  const struct account *account; /* whom the process has become; NULL: nobody else */
  void (*on_done)(struct message *message, void *receiver);
  void (*on_ended)(struct message *message, void *receiver);
};

/* Starts it. NULL and `error`. */
struct loading_thread *loading_thread_new(const struct loading_thread_owner *owner, struct error *error);

struct blocking *loading_thread_blocking(const struct loading_thread *thread);

/* One job at a time. `paced`: in short stretches, and after the workers. `tells`: the mailbox is told when it is done,
 * else loading_thread_await() is. */
void loading_thread_run(struct loading_thread *thread, struct loading_job *job, bool paced, bool tells);

/* Waits until the job is done: true; or for `ms`. */
bool loading_thread_await(struct loading_thread *thread, uint64_t ms);

/* It has been given up: it frees itself, and the job, when it comes back, but not before this. */
void loading_thread_leave(struct loading_thread *thread);

/* It leaves after the job that it does. `tells`: and the mailbox is told. */
void loading_thread_end(struct loading_thread *thread, bool tells);

/* After that: waits for it, and frees it. */
void loading_thread_join(struct loading_thread *thread);
