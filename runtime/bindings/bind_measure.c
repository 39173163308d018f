/* SPDX-License-Identifier: MIT
 *
 * What moongate.metrics says of the runtime itself: a snapshot of all workers, asked of the control thread. The task
 * waits meanwhile. */
#include "bindings/bind_moongate.h"
#include "connection/connection.h"
#include "script/scheduler.h"
#include "script/shared.h"
#include "script/value_push.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

struct measuring {
  struct shared_question question;
  struct script_wait wait;
  bool cancelled;
};

static int push_snapshot(lua_State *L, void *context) {
  const struct measuring *measuring = context;
  if (!value_is_whole(measuring->question.answer))
    return luaL_error(L, "not enough memory");
  value_push(L, measuring->question.answer);
  return 1;
}

/* Back on the thread that asked. */
static void on_measured(struct message *message, void *receiver) {
  (void)receiver;
  struct measuring *measuring = (struct measuring *)(void *)((char *)message - offsetof(struct measuring, question));
  if (!measuring->cancelled)
    task_resume_with(&measuring->wait, push_snapshot, measuring);
  value_free(measuring->question.answer);
  free(measuring);
}

static void on_measure_cancel(struct script_wait *wait) {
  struct measuring *measuring = (struct measuring *)(void *)((char *)wait - offsetof(struct measuring, wait));
  measuring->cancelled = true;
}

static void measure_drop(struct shared_question *question) {
  free((char *)question - offsetof(struct measuring, question));
}

/* core.measure([by_client]): the answer to the question "snapshot", or "clients". */
int core_measure(lua_State *L) {
  struct script_task *task = task_check(L);
  struct script_shared *shared = script_state_shared(task->state);
  struct measuring *measuring = calloc(1, sizeof *measuring);
  if (shared == NULL || measuring == NULL) {
    free(measuring);
    return luaL_error(L, "not enough memory");
  }
  measuring->question.on_answer = on_measured;
  measuring->question.drop = measure_drop;
  measuring->question.by_client = lua_toboolean(L, 1);
  const struct script_run *run = task->run;
  measuring->question.worker = run != NULL ? run->worker->worker : task->state->place->worker;
  measuring->question.asker = &task->state->place->loop->mailbox;
  if (!script_shared_ask(shared, &measuring->question)) {
    free(measuring);
    return task_raise(L, "nothing is measured here: this is no running moongate");
  }
  return task_wait(L, &measuring->wait, on_measure_cancel);
}
