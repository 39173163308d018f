/* SPDX-License-Identifier: MIT
 *
 * Who asks here, asks the snapshots. A script's question comes as a message to the control thread, takes part in a
 * round of snapshots, and goes back as a message to the worker that asked. */
#include "control/measure.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/reports.h"
#include "script/shared.h"

#include <stdlib.h>

void instance_snapshot(struct instance *instance, struct native_call *call) {
  if (instance->snapshots.loop)
    snapshots_ask(&instance->snapshots, call);
  else
    native_call_answer(call, value_table());
}

void instance_totals(struct instance *instance, struct native_call *call) {
  if (instance->snapshots.loop)
    snapshots_ask_for(&instance->snapshots, call, snapshots_totals, NULL);
  else
    native_call_answer(call, value_table());
}

static void question_drop(struct shared_question *question, struct value *value) {
  value_free(value);
  question->drop(question);
}

static void question_answer(struct shared_question *question, struct value *value) {
  question->answer = value;
  question->message.deliver = question->on_answer;
  if (!mailbox_post(question->asker, &question->message))
    question_drop(question, value);
}

static void on_snapshot(void *context, struct value *value) {
  struct shared_question *question = context;
  const struct runtime *runtime = question->context;
  if (runtime->measuring)
    question_answer(question, value);
  else
    question_drop(question, value);
}

static void answer_question(struct instance *instance, const struct shared_question *question,
                            struct native_call *call) {
  if (question->by_client)
    clients_ask_all(instance, call);
  else
    instance_snapshot(instance, call);
}

static void on_script_question(struct message *message, void *receiver) {
  (void)receiver;
  struct shared_question *question = (struct shared_question *)(void *)message;
  const struct runtime *runtime = question->context;
  struct native_call *call = runtime->measuring ? native_call_new(on_snapshot, question) : NULL;
  if (call)
    answer_question(runtime->instance, question, call);
  else
    on_snapshot(question, NULL);
}

static bool question_ask(void *context, struct shared_question *question) {
  struct runtime *runtime = context;
  question->context = runtime;
  question->message.deliver = on_script_question;
  return mailbox_post(&runtime->loop.mailbox, &question->message);
}

void measure_start(struct runtime *runtime) {
  runtime->measuring = true;
  script_shared_set_asked(loader_shared(runtime->instance->loader), question_ask, runtime);
}

void measure_stop(struct runtime *runtime) {
  if (!runtime->measuring)
    return;
  runtime->measuring = false;
  script_shared_set_asked(loader_shared(runtime->instance->loader), NULL, NULL);
}

static void on_inner_snapshot(void *context, struct value *value) {
  struct shared_question *question = context;
  const struct instance *instance = question->context;
  if (instance->threads.count > 0)
    question_answer(question, value);
  else
    question_drop(question, value);
}

bool measure_within(struct instance *instance, struct shared_question *question) {
  question->context = instance;
  struct native_call *call = native_call_new(on_inner_snapshot, question);
  if (call)
    answer_question(instance, question, call);
  return call != NULL;
}
