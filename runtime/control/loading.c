/* SPDX-License-Identifier: MIT
 *
 * The thread is a loop of its own that lives on messages. */
#include "control/loading.h"

#include "core/stack.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_done(struct message *message, void *receiver) {
  struct loading_job *job = (struct loading_job *)(void *)message;
  (void)receiver;
  if (job->loading->started)
    job->on_done(job);
}

static void on_run(struct message *message, void *receiver) {
  struct loading_job *job = (struct loading_job *)(void *)message;
  struct loading *loading = receiver;
  if (loading->loop.stopping)
    return;
  pace_restart(&loading->pace);
  job->run(job);
  message->deliver = on_done;
  mailbox_post(&loading->control->mailbox, message);
}

static void on_stop(struct message *message, void *receiver) {
  struct loading *loading = receiver;
  (void)message;
  loop_stop(&loading->loop);
}

/* Where the loader shares a core with a worker, the traffic comes first; a swap still has a quarter of the core at full
 * load. */
enum { LOADER_NICE = 5 };

static void *thread_main(void *argument) {
  struct loading *loading = argument;
  pthread_setname_np(pthread_self(), "loader");
  setpriority(PRIO_PROCESS, (id_t)gettid(), LOADER_NICE);
  loop_run(&loading->loop);
  return NULL;
}

int loading_start(struct loading *loading, struct loop *control, struct clock *clock, struct error *error) {
  *loading = (struct loading){.control = control};
  int status = loop_init(&loading->loop, clock, loading);
  if (status)
    return error_set(error, -status, "the loader's event loop can't be made: %s", strerror(-status));
  status = stack_start_thread(&loading->thread, thread_main, loading);
  loading->started = status == 0;
  if (loading->started)
    return 0;
  loop_deinit(&loading->loop);
  return error_set(error, status, "the loader thread can't be started: %s", strerror(status));
}

void loading_stop(struct loading *loading) {
  if (!loading->started)
    return;
  loading->started = false;
  struct message stop = {.deliver = on_stop};
  mailbox_post(&loading->loop.mailbox, &stop);
  pthread_join(loading->thread, NULL);
  loading->loop.stopping = true; /* for what loop_deinit() still delivers */
  loop_deinit(&loading->loop);
}

void loading_post(struct loading *loading, struct loading_job *job) {
  job->loading = loading;
  job->message.deliver = on_run;
  mailbox_post(&loading->loop.mailbox, &job->message);
}
