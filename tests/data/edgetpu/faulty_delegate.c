/* A loadable TensorFlow Lite delegate that stands in for libedgetpu and fails as told.

   It runs operator "edgetpu-custom-op" as a ReLU on int8 (zero point 0), so a model of one RELU is its CPU twin.
   FAKE_CORAL holds the plan, `WHERE:WHAT` or `WHAT:N` for "after N good calls":
     load:error load:crash load:hang prepare:crash invoke:error:N invoke:crash:N invoke:hang:N
   FAKE_CORAL_PLUGGED, if set, names a file: while it is absent, loading and calls fail like an unplugged device.

   Layouts follow tensorflow/lite/core/c/common.h as of 2.14; only what stands before the fields used is spelled
   out. The registration is passed by value, which is why a libedgetpu built for another version crashes. */

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, ERROR = 1 };

typedef struct { int size; int data[]; } IntArray;

typedef struct {
  int type;
  int8_t* data;
  IntArray* dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  void* delegate;
  int buffer_handle;
  char data_is_stale, is_variable;
  struct { int type; void* params; } quantization;
  void* sparsity;
  const IntArray* dims_signature;
} Tensor;

typedef struct { IntArray *inputs, *outputs; } Node;

typedef struct Context Context;

typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, Node*);
  int (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
} Registration;

typedef struct Delegate {
  void* data;
  int (*prepare)(Context*, struct Delegate*);
  void *copy_from, *copy_to, *free_buffer;
  int64_t flags;
  void* opaque_delegate_builder;
} Delegate;

struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(Context*, IntArray**);
  Tensor* tensors;
  void* impl;
  void* resize_tensor;
  void (*report_error)(Context*, const char*, ...);
  void* add_tensors;
  int (*get_node_and_registration)(Context*, int, Node**, Registration**);
  int (*replace_nodes)(Context*, Registration, const IntArray*, Delegate*);
};

static int calls;

static int planned(const char* where, const char* what) {
  const char* plan = getenv("FAKE_CORAL");
  char wanted[32];
  int length = snprintf(wanted, sizeof wanted, "%s:%s", where, what);
  if (!plan || strncmp(plan, wanted, length)) return 0;
  return plan[length] != ':' || calls >= atoi(plan + length + 1);
}

static int unplugged(void) {
  const char* file = getenv("FAKE_CORAL_PLUGGED");
  return file && access(file, F_OK) != 0;
}

static int fails(const char* where) {
  if (planned(where, "crash")) kill(getpid(), SIGSEGV);
  while (planned(where, "hang")) sleep(1);
  return unplugged() || planned(where, "error");
}

static int relu(Context* context, Node* node) {
  Tensor* in = &context->tensors[node->inputs->data[0]];
  Tensor* out = &context->tensors[node->outputs->data[0]];
  if (fails("invoke")) {
    context->report_error(context, "Failed to execute request. Could not map pages : -1 (No such device)");
    return ERROR;
  }
  for (size_t i = 0; i < out->bytes; i++) out->data[i] = in->data[i] > 0 ? in->data[i] : 0;
  calls++;
  return OK;
}

static void* start(Context* context, const char* buffer, size_t length) { return NULL; }
static void stop(Context* context, void* data) {}
static int nothing(Context* context, Node* node) { return OK; }

static int prepare(Context* context, Delegate* delegate) {
  IntArray* plan;
  if (fails("prepare")) return ERROR;
  if (context->get_execution_plan(context, &plan) != OK) return ERROR;
  IntArray* mine = calloc(1, sizeof(IntArray) + plan->size * sizeof(int));
  for (int i = 0; i < plan->size; i++) {
    Node* node;
    Registration* registration;
    context->get_node_and_registration(context, plan->data[i], &node, &registration);
    if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
      mine->data[mine->size++] = plan->data[i];
  }
  Registration kernel = {start, stop, nothing, relu, NULL, 0, "FakeEdgeTpu", 1, NULL, NULL, 0};
  int status = context->replace_nodes(context, kernel, mine, delegate);
  free(mine);
  return status;
}

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*report)(const char*)) {
  if (fails("load")) return NULL; /* like libedgetpu without a device: no message at all */
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  delegate->flags = 1; /* dynamic tensors allowed: do not prepare the custom operator before it is replaced */
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) { free(delegate); }

const char* edgetpu_version(void) { return "BuildLabel(COMPILER=fake,DATE=redacted,TIME=redacted), RuntimeVersion(14)"; }
