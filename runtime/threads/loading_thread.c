/* SPDX-License-Identifier: MIT
 *
 * A thread with room for one job. */
#include "threads/loading_thread.h"

#include "core/pace.h"
#include "process/privileges.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Where the loader shares a core with a worker, the traffic comes first; a swap still has a quarter of the core at full
 * load. */
enum { LOADER_NICE = 5 };

struct loading_thread {
  pthread_t id;
  struct loader *loader;
  struct mailbox *control; /* NULL: nobody is told */
  struct loading_news done, ended;
  struct blocking *blocking;
  struct pace pace; /* its own: it is used for as long as the thread runs */
  bool is_nice;
  pthread_mutex_t lock; /* for what follows */
  pthread_cond_t changed;
  struct loading_job *job;
  bool paced, tells, is_done, ending, is_left;
};

static void thread_free(struct loading_thread *thread) {
  blocking_unref(thread->blocking);
  pthread_cond_destroy(&thread->changed);
  pthread_mutex_destroy(&thread->lock);
  free(thread);
}

static struct loading_job *await_job(struct loading_thread *thread) {
  pthread_mutex_lock(&thread->lock);
  while (!thread->job && !thread->ending)
    pthread_cond_wait(&thread->changed, &thread->lock);
  struct loading_job *job = thread->job;
  thread->job = NULL;
  pthread_mutex_unlock(&thread->lock);
  return job;
}

static void tell_done(struct loading_thread *thread) {
  pthread_mutex_lock(&thread->lock);
  bool tells = thread->tells; /* of this job: who waits for it may hand over the next one at once */
  thread->is_done = true;
  pthread_cond_broadcast(&thread->changed);
  pthread_mutex_unlock(&thread->lock);
  if (tells)
    mailbox_post(thread->control, &thread->done.message);
}

/* Who gives it up may still look at the job. */
static void await_leave(struct loading_thread *thread) {
  pthread_mutex_lock(&thread->lock);
  while (!thread->is_left)
    pthread_cond_wait(&thread->changed, &thread->lock);
  pthread_mutex_unlock(&thread->lock);
}

static void do_job(struct loading_thread *thread, struct loading_job *job) {
  if (thread->paced && !thread->is_nice)
    setpriority(PRIO_PROCESS, (id_t)gettid(), LOADER_NICE);
  thread->is_nice |= thread->paced;
  pace_restart(&thread->pace);
  loader_use(thread->loader, thread->paced ? &thread->pace : NULL, thread->blocking);
  job->run(job);
}

static void *loading_thread_main(void *argument) {
  struct loading_thread *thread = argument;
  pthread_setname_np(pthread_self(), "loader");
  for (struct loading_job *job; (job = await_job(thread));) {
    do_job(thread, job);
    if (blocking_is_lost(thread->blocking)) {
      await_leave(thread);
      job->drop(job);
      blocking_retire(thread->blocking);
      thread_free(thread);
      return NULL;
    }
    tell_done(thread);
  }
  if (thread->tells)
    mailbox_post(thread->control, &thread->ended.message);
  return NULL;
}

struct loading_thread *loading_thread_new(const struct loading_thread_owner *owner, struct error *error) {
  struct loading_thread *thread = calloc(1, sizeof *thread);
  struct blocking *blocking = blocking_new();
  if (!thread || !blocking) {
    free(thread);
    blocking_unref(blocking);
    error_set(error, ENOMEM, "no memory for a loader thread");
    return NULL;
  }
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  thread->loader = owner->loader;
  thread->control = owner->control;
  thread->done = (struct loading_news){.message.deliver = owner->on_done, .loading = owner->loading};
  thread->ended = (struct loading_news){.message.deliver = owner->on_ended, .loading = owner->loading};
  thread->blocking = blocking;
  pthread_mutex_init(&thread->lock, NULL);
  pthread_cond_init(&thread->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  if (privileges_start_thread(owner->account, true, "loader", &thread->id, loading_thread_main, thread, error) == 0)
    return thread;
  thread_free(thread);
  return NULL;
}

struct blocking *loading_thread_blocking(const struct loading_thread *thread) {
  return thread->blocking;
}

void loading_thread_run(struct loading_thread *thread, struct loading_job *job, bool paced, bool tells) {
  pthread_mutex_lock(&thread->lock);
  thread->job = job;
  thread->paced = paced;
  thread->tells = tells;
  thread->is_done = false;
  pthread_cond_broadcast(&thread->changed);
  pthread_mutex_unlock(&thread->lock);
}

bool loading_thread_await(struct loading_thread *thread, uint64_t ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t)(ms / 1000);
  until.tv_nsec += (long)(ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  int status = 0;
  pthread_mutex_lock(&thread->lock);
  while (!thread->is_done && status == 0)
    status = pthread_cond_timedwait(&thread->changed, &thread->lock, &until);
  bool is_done = thread->is_done;
  pthread_mutex_unlock(&thread->lock);
  return is_done;
}

void loading_thread_leave(struct loading_thread *thread) {
  pthread_detach(thread->id);
  pthread_mutex_lock(&thread->lock);
  thread->is_left = true;
  pthread_cond_broadcast(&thread->changed);
  pthread_mutex_unlock(&thread->lock);
}

void loading_thread_end(struct loading_thread *thread, bool tells) {
  pthread_mutex_lock(&thread->lock);
  thread->ending = true;
  thread->tells = tells;
  pthread_cond_broadcast(&thread->changed);
  pthread_mutex_unlock(&thread->lock);
}

void loading_thread_join(struct loading_thread *thread) {
  pthread_join(thread->id, NULL);
  thread_free(thread);
}
