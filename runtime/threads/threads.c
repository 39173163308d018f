/* SPDX-License-Identifier: MIT
 *
 * A worker thread from start to end, and the messages that take it there. What has its home on a worker (connections,
 * Lua states) is given back there before the thread ends. */
#include "threads/threads.h"

#include "process/privileges.h"
#include "script/worker_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void on_told_drained(struct message *message, void *receiver) {
  struct threads *threads = ((struct thread_order *)(void *)message)->thread->threads;
  (void)receiver;
  if (++threads->drained == threads->started)
    threads->on_drained(threads->context);
}

static void on_told_ended(struct message *message, void *receiver) {
  struct thread *thread = (struct thread *)(void *)((char *)message - offsetof(struct thread, ended));
  struct threads *threads = thread->threads;
  thread->is_over = true;
  (void)receiver;
  if (++threads->ended == threads->started)
    threads->on_ended(threads->context);
}

/* The rest runs on the worker's thread, up to worker_thread_main(). */

static void thread_post_back(struct thread *thread, struct message *message) {
  /* The control thread listens until it has joined us. */
  mailbox_post(&thread->threads->loop->mailbox, message);
}

static void thread_release(struct thread *thread) {
  worker_release(&thread->worker);
  script_worker_free(thread->worker.script);
  worker_deinit(&thread->worker);
}

/* The end of a worker without a thread, outside of its own callbacks. */
static void on_thread_ending(struct deferred *deferred) {
  struct thread *thread = (struct thread *)(void *)((char *)deferred - offsetof(struct thread, ending));
  thread_release(thread);
  thread_post_back(thread, &thread->ended);
}

static void leave_loop(struct thread *thread) {
  if (thread->worker.loop.outer)
    loop_defer(thread->worker.loop.outer, &thread->ending);
  else
    loop_stop(&thread->worker.loop);
}

static void on_thread_drained(struct worker *worker, void *context) {
  struct thread_order *order = context;
  struct thread *thread = order->thread;
  (void)worker;
  thread->drained = true;
  if (order == &thread->stop) {
    leave_loop(thread);
    return;
  }
  order->message.deliver = on_told_drained;
  thread_post_back(thread, &order->message);
}

static void on_drain(struct message *message, void *receiver) {
  struct thread_order *order = (struct thread_order *)(void *)message;
  worker_drain(receiver, order->ms, on_thread_drained, order);
}

/* Ending connections takes a few rounds, and they have to be over before what they use goes: so stopping is draining
 * without patience. */
static void on_stop(struct message *message, void *receiver) {
  struct thread_order *order = (struct thread_order *)(void *)message;
  struct worker *worker = receiver;
  if (order->thread->drained)
    leave_loop(order->thread);
  else
    worker_drain(worker, 0, on_thread_drained, order);
}

static void *worker_thread_main(void *argument) {
  struct thread *thread = argument;
  struct worker *worker = &thread->worker;
  char name[16];
  snprintf(name, sizeof name, "worker-%u", worker->number);
  pthread_setname_np(pthread_self(), name);
  atomic_store_explicit(&worker->inside.thread, gettid(), memory_order_relaxed);
  loop_run(&worker->loop);
  thread_release(thread);
  thread_post_back(thread, &thread->ended);
  return NULL;
}

int threads_init(struct threads *threads, unsigned count, struct loop *loop, const struct log *log,
                 const struct worker_settings *settings, size_t addresses, struct error *error) {
  threads->loop = loop;
  threads->threads = calloc(count, sizeof *threads->threads);
  threads->failures = failures_new(settings->failed_targets);
  if (!threads->threads || !threads->failures || admission_init(&threads->admission, addresses) != 0)
    return error_set(error, ENOMEM, "no memory for the workers");
  for (unsigned i = 0; i < count; i++) {
    struct thread *thread = calloc(1, sizeof *thread);
    if (!thread)
      return error_set(error, ENOMEM, "no memory for the workers");
    threads->threads[threads->count++] = thread;
    thread->threads = threads;
    thread->drain = (struct thread_order){.message.deliver = on_drain, .thread = thread};
    thread->stop = (struct thread_order){.message.deliver = on_stop, .thread = thread};
    thread->ended.deliver = on_told_ended;
    thread->ending.run = on_thread_ending;
    int status = worker_init(&thread->worker, i + 1, count, loop->clock, log, settings, &script_worker_hooks, error);
    if (status)
      return status;
    thread->worker.admission = &threads->admission;
    thread->worker.dialer.failures = threads->failures;
    thread->initialised = true;
    status = script_worker_new(&thread->worker, error);
    if (status)
      return status;
  }
  return 0;
}

int threads_set_table(struct threads *threads, struct route_table *table, uint16_t *resolved, struct error *error) {
  for (size_t i = 0; i < threads->count; i++) {
    struct worker *worker = &threads->threads[i]->worker;
    int status = worker_set_table(worker, table, resolved, error);
    if (status)
      return status;
  }
  return 0;
}

int threads_start(struct threads *threads, const struct account *account, struct error *error) {
  int status = 0;
  for (size_t i = 0; i < threads->count && status == 0; i++) {
    struct thread *thread = threads->threads[i];
    if (!thread->worker.loop.outer)
      status =
          privileges_start_thread(account, true, "worker", &thread->worker.thread, worker_thread_main, thread, error);
    thread->started = status == 0;
    threads->started += status == 0;
  }
  return status;
}

void threads_drain(struct threads *threads, uint64_t ms) {
  for (size_t i = 0; i < threads->count; i++) {
    struct thread *thread = threads->threads[i];
    thread->drain.ms = ms;
    mailbox_post(&thread->worker.loop.mailbox, &thread->drain.message);
  }
}

void threads_stop(struct threads *threads) {
  for (size_t i = 0; i < threads->count; i++)
    if (threads->threads[i]->started)
      mailbox_post(&threads->threads[i]->worker.loop.mailbox, &threads->threads[i]->stop.message);
}

unsigned threads_find_running(const struct threads *threads) {
  for (size_t i = 0; i < threads->count; i++)
    if (threads->threads[i]->started && !threads->threads[i]->is_over)
      return threads->threads[i]->worker.number;
  return 0;
}

void threads_deinit(struct threads *threads) {
  for (size_t i = 0; i < threads->count; i++)
    if (threads->threads[i]->started && !threads->threads[i]->worker.settings->within)
      pthread_join(threads->threads[i]->worker.thread, NULL);
  for (size_t i = 0; i < threads->count; i++) {
    struct thread *thread = threads->threads[i];
    if (thread->initialised && (!thread->started || loop_is_within(&thread->worker.loop)))
      thread_release(thread);
    free(threads->threads[i]);
  }
  free(threads->threads);
  admission_deinit(&threads->admission);
  failures_free(threads->failures);
  *threads = (struct threads){.loop = NULL};
}
