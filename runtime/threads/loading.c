/* SPDX-License-Identifier: MIT
 *
 * The queue of jobs, and the look after the thread that does them. */
#include "threads/loading.h"

#include "core/clock.h"
#include "threads/loading_thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  LOOK_MS = 200,
  LONG_MS = 2000,        /* away for longer is told */
  NONE_AGAIN_S = 60,     /* there is no thread: so often it is said */
  STOP_PATIENCE_MS = 200 /* for what is away when everything ends */
};

static void loading_feed(struct loading *loading);

static void forget_returned(struct loading *loading) {
  size_t left = 0;
  for (size_t i = 0; i < loading->lost_count; i++) {
    if (blocking_is_lost(loading->lost[i]))
      loading->lost[left++] = loading->lost[i];
    else
      blocking_unref(loading->lost[i]);
  }
  loading->lost_count = left;
}

size_t loading_count_lost(struct loading *loading) {
  forget_returned(loading);
  return loading->lost_count;
}

size_t loading_list_lost(struct loading *loading, char subjects[LOADING_LOST_MOST + 1][BLOCKING_SUBJECT_SIZE]) {
  size_t count = 0;
  forget_returned(loading);
  for (size_t i = 0; i < loading->lost_count; i++) {
    struct blocking_view view;
    size_t known = 0;
    blocking_look(loading->lost[i], &view);
    while (known < count && strcmp(subjects[known], view.subject) != 0)
      known++;
    if (known == count)
      memcpy(subjects[count++], view.subject, sizeof view.subject);
  }
  return count;
}

static void on_done(struct message *message, void *receiver) {
  struct loading *loading = ((struct loading_news *)(void *)message)->loading;
  struct loading_job *job = loading->current;
  (void)receiver;
  loading->current = NULL;
  if (loading->stopping)
    job->drop(job);
  else
    job->on_done(job);
  loading_feed(loading);
}

static void on_loading_thread_ended(struct message *message, void *receiver) {
  struct loading *loading = ((struct loading_news *)(void *)message)->loading;
  (void)receiver;
  loading_thread_join(loading->thread);
  loading->thread = NULL;
  loop_cancel_timer(loading->control, &loading->timer);
  loading->on_stopped(loading->context);
}

static struct loading_thread *loading_start_thread(struct loading *loading, struct error *error) {
  const struct loading_thread_owner owner = {
      .loading = loading,
      .loader = loading->loader,
      .control = loading->control ? &loading->control->mailbox : NULL,
      .account = loading->account,
      .on_done = on_done,
      .on_ended = on_loading_thread_ended,
  };
  return loading_thread_new(&owner, error);
}

/* False: there are too many already, or `error` says why not. */
static bool have_thread(struct loading *loading, struct error *error) {
  forget_returned(loading);
  if (!loading->thread && loading->lost_count <= LOADING_LOST_MOST)
    loading->thread = loading_start_thread(loading, error);
  return loading->thread != NULL;
}

static void tell_long(struct loading *loading, const struct blocking_view *view) {
  loading->long_is_logged = true;
  LOG(loading->log, LOG_WARN, "a file takes long to load; what else is to be loaded waits for it",
      LOG_STRING("file", view->subject), LOG_NUMBER("seconds", (double)loading->away_ms / 1000),
      LOG_NUMBER("limits.load_time", (double)loading->bound_ms / 1000));
}

/* How long the thread has been away in one thing: by the real clock, for what it hangs in goes by that. */
static bool loading_measure(struct loading *loading, struct blocking_view *view) {
  uint64_t now = clock_real_ns(), passed_ms = (now - loading->looked_ns) / 1000000;
  bool is_first = loading->looked_ns == 0;
  loading->looked_ns = now;
  blocking_look(loading_thread_blocking(loading->thread), view);
  if (view->serial != loading->serial || is_first) {
    loading->serial = view->serial;
    loading->away_ms = 0;
    loading->long_is_logged = false;
  } else if (view->away) {
    loading->away_ms += passed_ms < 2 * LOOK_MS ? passed_ms : 2 * LOOK_MS;
  }
  return view->away;
}

struct loss {
  struct loading *loading;
  const char *message;
  enum loader_loss what;
};

/* The thread can't come back meanwhile. */
static void loading_take_over(void *context) {
  struct loss *loss = context;
  struct loading *loading = loss->loading;
  loading->lost[loading->lost_count++] = blocking_ref(loading_thread_blocking(loading->thread));
  loss->what = loader_give_up(loading->loader, loss->message);
}

/* The mark of what was run when a thread was lost goes, which takes a disk. */
struct unmarking {
  struct loading_job job;
  struct loader *loader;
};

static void run_unmark(struct loading_job *job) { loader_unmark(((struct unmarking *)(void *)job)->loader); }

static void free_unmarking(struct loading_job *job) { free(job); }

static void on_unmark_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  (void)job, (void)loss, (void)message;
}

static bool on_unmark_refused(struct loading_job *job, const char *message) {
  (void)message;
  free(job);
  return true;
}

/* Where somebody waits, or the process ends, which has a bound of its own, it is done at once. */
static void unmark(struct loading *loading) {
  if (loading->stopping || loading->waited_for) {
    loader_unmark(loading->loader);
    return;
  }
  struct unmarking *unmarking = calloc(1, sizeof *unmarking);
  if (!unmarking)
    return;
  unmarking->loader = loading->loader;
  unmarking->job = (struct loading_job){.run = run_unmark,
                                        .on_done = free_unmarking,
                                        .on_lost = on_unmark_lost,
                                        .on_refused = on_unmark_refused,
                                        .drop = free_unmarking};
  loading_post(loading, &unmarking->job);
}

/* True: it is lost, and its job has been told so. */
static bool give_up(struct loading *loading, const struct blocking_view *view) {
  char message[LOADING_MESSAGE_SIZE];
  struct loss loss = {.loading = loading, .message = message};
  struct loading_job *job = loading->current;
  snprintf(message, sizeof message,
           "does not come back: %g s (limits.load_time) are over, and the loader is left behind in it. A file that is "
           "loaded must not wait: what it opens may be a pipe that nobody writes to",
           (double)loading->bound_ms / 1000);
  forget_returned(loading);
  if (!blocking_give_up(loading_thread_blocking(loading->thread), view->serial, loading_take_over, &loss))
    return false;
  struct loading_thread *thread = loading->thread;
  loading->thread = NULL;
  loading->current = NULL;
  loading->looked_ns = 0;
  LOG(loading->log, LOG_ERROR, "a loader does not come back from a file, and is left behind",
      LOG_STRING("file", view->subject), LOG_NUMBER("limits.load_time", (double)loading->bound_ms / 1000),
      LOG_INTEGER("lost_loaders", loading->lost_count));
  if (!loading->stopping) /* then whose the job is does not know it, and does not hear of it */
    job->on_lost(job, loss.what, message);
  if (loss.what != LOSS_OTHER && loss.what != LOSS_STORE)
    unmark(loading);
  loading_thread_leave(thread);
  return true;
}

/* A restart alone is no way out: it runs the same files. The names come last, where a text may be cut. */
static void explain_lost(struct loading *loading, char message[LOADING_MESSAGE_SIZE]) {
  char subjects[LOADING_LOST_MOST + 1][BLOCKING_SUBJECT_SIZE];
  size_t count = loading_list_lost(loading, subjects);
  size_t length = (size_t)snprintf(message, LOADING_MESSAGE_SIZE,
                                   "nothing can be loaded: %zu loaders hang in files that do not come back, and with "
                                   "these files a start ends with the status 1; remove or mend them, then restart",
                                   loading->lost_count);
  for (size_t i = 0; i < count && length < LOADING_MESSAGE_SIZE; i++)
    length += (size_t)snprintf(message + length, LOADING_MESSAGE_SIZE - length, "%s%s", i ? ", " : ": ", subjects[i]);
}

/* There is no thread: what can't wait is refused, and somebody has to know. */
static void refuse_all(struct loading *loading, const struct error *error) {
  char message[LOADING_MESSAGE_SIZE];
  uint64_t now = clock_real_ns();
  if (loading->lost_count > LOADING_LOST_MOST)
    explain_lost(loading, message);
  else
    snprintf(message, sizeof message, "nothing can be loaded: %s", error->message);
  struct loading_job **link = &loading->first;
  while (*link) {
    struct loading_job *job = *link;
    struct loading_job *next = job->next;
    if (job->on_refused(job, message))
      *link = next;
    else
      link = &job->next;
  }
  loading->last = link;
  if (loading->none_logged_ns != 0 && now - loading->none_logged_ns < NONE_AGAIN_S * (uint64_t)1000000000)
    return;
  loading->none_logged_ns = now;
  LOG(loading->log, LOG_ERROR, message, LOG_INTEGER("lost_loaders", loading->lost_count));
}

/* Hands the thread the next job. */
static void loading_feed(struct loading *loading) {
  struct error error = {.message = ""};
  if (loading->current || loading->stopping)
    return;
  if (loading->first && !have_thread(loading, &error))
    refuse_all(loading, &error);
  struct loading_job *job = loading->first;
  if (!job) {
    loop_cancel_timer(loading->control, &loading->timer);
    return;
  }
  if (!wheel_is_set(&loading->timer))
    loop_set_timer(loading->control, &loading->timer, LOOK_MS);
  if (!loading->thread)
    return;
  loading->none_logged_ns = 0;
  loading->first = job->next;
  if (!loading->first)
    loading->last = &loading->first;
  loading->current = job;
  loading->looked_ns = 0;
  loading_thread_run(loading->thread, job, loading->paced, true);
}

/* True: its job is lost. */
static bool loading_look(struct loading *loading) {
  struct blocking_view view;
  if (!loading->thread || !loading_measure(loading, &view))
    return false;
  if (loading->away_ms >= loading->bound_ms)
    return give_up(loading, &view);
  if (loading->away_ms >= LONG_MS && !loading->long_is_logged)
    tell_long(loading, &view);
  return false;
}

static void on_loading_look(struct wheel_timer *timer) {
  struct loading *loading = (struct loading *)(void *)((char *)timer - offsetof(struct loading, timer));
  loop_set_timer(loading->control, &loading->timer, LOOK_MS);
  if (loading->current)
    loading_look(loading);
  loading_feed(loading);
}

int loading_start(struct loading *loading, struct loop *control, const struct log *log, struct loader *loader,
                  struct error *error) {
  *loading = (struct loading){.control = control, .log = log, .loader = loader, .bound_ms = LOADING_TIME_MS};
  loading->last = &loading->first;
  loading->timer.on_expired = on_loading_look;
  return have_thread(loading, error) ? 0 : -error->code;
}

void loading_post(struct loading *loading, struct loading_job *job) {
  job->next = NULL;
  *loading->last = job;
  loading->last = &job->next;
  loading_feed(loading);
}

int loading_wait(struct loading *loading, struct loading_job *job) {
  struct error error = {.message = ""};
  job->next = NULL;
  if (!have_thread(loading, &error)) {
    *loading->last = job;
    loading->last = &job->next;
    refuse_all(loading, &error);
    return -EBUSY;
  }
  loading->current = job;
  loading->looked_ns = 0;
  loading_thread_run(loading->thread, job, false, false);
  loading->waited_for = true;
  while (!loading_thread_await(loading->thread, LOOK_MS))
    if (loading_look(loading)) {
      loading->waited_for = false;
      return -ETIMEDOUT;
    }
  loading->waited_for = false;
  loading->current = NULL;
  return 0;
}

bool loading_is_away(const struct loading *loading, struct blocking_view *view, uint64_t *ms) {
  if (!loading->thread || !loading->current)
    return false;
  blocking_look(loading_thread_blocking(loading->thread), view);
  *ms = view->serial == loading->serial ? loading->away_ms : 0;
  return view->away;
}

/* What is away now has no more time than this: the process ends. */
static void on_stop_look(struct wheel_timer *timer) {
  struct loading *loading = (struct loading *)(void *)((char *)timer - offsetof(struct loading, timer));
  struct blocking_view view = {.away = false};
  if (loading->thread)
    blocking_look(loading_thread_blocking(loading->thread), &view);
  if (!loading->thread || (view.away && give_up(loading, &view)))
    loading->on_stopped(loading->context);
  else
    loop_set_timer(loading->control, &loading->timer, STOP_PATIENCE_MS);
}

void loading_stop(struct loading *loading, void (*on_stopped)(void *context), void *context) {
  loading->stopping = true;
  loading->on_stopped = on_stopped;
  loading->context = context;
  while (loading->first) {
    struct loading_job *job = loading->first;
    loading->first = job->next;
    job->drop(job);
  }
  loading->last = &loading->first;
  loading->timer.on_expired = on_stop_look;
  if (loading->thread) {
    blocking_hurry(loading_thread_blocking(loading->thread));
    loading_thread_end(loading->thread, true);
  }
  loop_set_timer(loading->control, &loading->timer, STOP_PATIENCE_MS);
}

void loading_rest(struct loading *loading) {
  if (!loading->thread)
    return;
  loading_thread_end(loading->thread, false);
  loading_thread_join(loading->thread);
  loading->thread = NULL;
}

bool loading_deinit(struct loading *loading) {
  if (!loading->last)
    return false;
  bool is_left = loading_count_lost(loading) > 0;
  loading_rest(loading);
  if (loading->control)
    loop_cancel_timer(loading->control, &loading->timer);
  for (size_t i = 0; i < loading->lost_count; i++)
    blocking_unref(loading->lost[i]);
  *loading = (struct loading){.control = NULL};
  return is_left;
}
