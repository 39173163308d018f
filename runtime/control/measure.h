/* SPDX-License-Identifier: MIT
 *
 * What all workers have counted: for who asks over the API, and for the questions of scripts (script/shared.h). */
#pragma once

#include <stdbool.h>

struct native_call;
struct shared_question;
struct instance;
struct runtime;

/* See native_ops. */
void instance_snapshot(struct instance *instance, struct native_call *call);
void instance_totals(struct instance *instance, struct native_call *call);

/* From now on, until measure_stop(): the instance has its loader and its snapshots. */
void measure_start(struct runtime *runtime);

/* Questions that are under way are dropped, since those who asked have ended. Before the workers are released. Nothing
 * when it was not started. */
void measure_stop(struct runtime *runtime);

/* Answers a question that is asked on the control thread, for a moongate of specs (testing.c). When it has ended by
 * then the question is dropped, as who asked has. False: without memory, and nothing happens. */
bool measure_within(struct instance *instance, struct shared_question *question);
