/* SPDX-License-Identifier: MIT
 *
 * One loader thread: it does jobs that it is handed, and says so. Who is given up in the midst of one frees itself. */
#pragma once

#include "threads/loading.h"

#include <stdint.h>

/* What the control thread's mailbox delivers: a job is done, or the thread has left. */
struct loading_news {
  struct message message;
  struct loading *loading;
};

/* Starts it. NULL and `error`. With loading->control NULL the mailbox is never told. */
struct loading_thread *loading_thread_new(struct loading *loading,
                                          void (*on_done)(struct message *message, void *receiver),
                                          void (*on_ended)(struct message *message, void *receiver),
                                          struct error *error);

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
