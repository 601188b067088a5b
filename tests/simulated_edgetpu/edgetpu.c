/* A stand-in for libedgetpu: the public C symbols, and a TFLite delegate that claims "edgetpu-custom-op".

   Written for the model of tests/tflite_writer.py: the answer is the mean of each channel of a uint8 input, as the
   plain twin gives it.  Environment variables set how it behaves:
     SIM_DEVICES   what is attached: "usb", "usb,usb", "pci,usb", "" (default: usb)
     SIM_BUSY      indices in that list that do not open: "0", "0,1"
     SIM_ABI       "old": hand over the structs of TF 2.5 with garbage behind them; "new" (default)
     SIM_FAULT     "abort": abort in the first inference, with the driver's words
   The structs are declared from the public headers of TensorFlow Lite (c/common.h). */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device { int type; const char *path; };
typedef struct { int size; int data[]; } int_array;

/* The first 64 bytes of TfLiteRegistration, as TF 2.5 had it, and what later headers may add. */
typedef struct {
  void *(*init)(void *, const char *, size_t);
  void (*free)(void *, void *);
  int (*prepare)(void *, void *);
  int (*invoke)(void *, void *);
  const char *(*profiling_string)(const void *, const void *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
} old_registration;
typedef struct { old_registration base; void *later[8]; } new_registration;
/* What an old library leaves on the stack behind its 64 bytes. */
typedef struct { old_registration base; uintptr_t garbage[8]; } dirty_registration;

typedef struct {
  void *data;
  int (*prepare)(void *context, void *delegate);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  uintptr_t later[10];     /* zero in a new library, garbage in an old one */
} delegate;

/* TfLiteTensor: type (4 bytes, padded), data pointer; the rest is not looked at except dims. */
typedef struct { int type; void *data; int_array *dims; } tensor;
typedef struct { int_array *inputs, *outputs; } node;
typedef struct {
  size_t tensors_size;
  int (*get_execution_plan)(void *, int_array **);
  char *tensors;
  void *impl;
  void *resize, *report, *add_tensors;
  int (*get_node)(void *, int, node **, void **);
  void *replace;
} context;
typedef int (*replace_old)(void *, dirty_registration, int_array *, void *);
typedef int (*replace_new)(void *, new_registration, int_array *, void *);

#define TENSOR_SIZE 112     /* sizeof(TfLiteTensor) in every 64-bit runtime from 2.7 on */

static int is(const char *name, const char *value) {
  const char *set = getenv(name);
  return set && strcmp(set, value) == 0;
}

static int kinds(int *types) {
  const char *list = getenv("SIM_DEVICES");
  int n = 0;
  if (!list) list = "usb";
  for (; *list && n < 8; list++) {
    if (strncmp(list, "usb", 3) == 0) types[n++] = 1;
    if (strncmp(list, "pci", 3) == 0) types[n++] = 0;
  }
  return n;
}

struct device *edgetpu_list_devices(size_t *count) {
  static char paths[8][64];
  int types[8], n = kinds(types), i;
  struct device *list = calloc(n ? n : 1, sizeof *list);
  for (i = 0; i < n; i++) {
    snprintf(paths[i], sizeof paths[i], types[i] ? "/sys/bus/usb/devices/2-%d" : "/dev/apex_%d", i);
    list[i].type = types[i];
    list[i].path = paths[i];
  }
  *count = n;
  return list;
}
void edgetpu_free_devices(struct device *list) { free(list); }
const char *edgetpu_version(void) { return "BuildLabel(simulated) RuntimeVersion(14)"; }
void edgetpu_verbosity(int level) { (void)level; }

static void *op_init(void *c, const char *buffer, size_t length) { (void)c; (void)buffer; (void)length; return NULL; }
static void op_free(void *c, void *data) { (void)c; (void)data; }
static int op_prepare(void *c, void *n) { (void)c; (void)n; return 0; }
static int op_invoke(void *c, void *n) {
  context *ctx = c;
  node *op = n;
  tensor *in = (tensor *)(ctx->tensors + (size_t)TENSOR_SIZE * op->inputs->data[0]);
  tensor *out = (tensor *)(ctx->tensors + (size_t)TENSOR_SIZE * op->outputs->data[0]);
  const uint8_t *pixels = in->data;
  int area = in->dims->data[1] * in->dims->data[2], channels = in->dims->data[3], i, k;
  if (is("SIM_FAULT", "abort")) {
    fprintf(stderr, "F driver/usb/usb_driver.cc:857] transfer on tag 0 failed. Abort.\n");
    abort();
  }
  for (k = 0; k < channels; k++) {
    long sum = 0;
    for (i = 0; i < area; i++) sum += pixels[i * channels + k];
    ((uint8_t *)out->data)[k] = (uint8_t)((sum + area / 2) / area);
  }
  return 0;
}

static int claim(void *c, void *self) {
  context *ctx = c;
  int_array *plan;
  old_registration base = {op_init, op_free, op_prepare, op_invoke, NULL, 32, "edgetpu-custom-op", 1};
  if (ctx->get_execution_plan(c, &plan)) return 1;
  if (is("SIM_ABI", "old")) {
    dirty_registration dirty;
    memset(&dirty, 0xAB, sizeof dirty);
    dirty.base = base;
    return ((replace_old)ctx->replace)(c, dirty, plan, self);
  } else {
    new_registration clean;
    memset(&clean, 0, sizeof clean);
    clean.base = base;
    return ((replace_new)ctx->replace)(c, clean, plan, self);
  }
}

static int opened = 0;
int sim_open_count(void) { return opened; }

delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report)(const char *)) {
  int types[8], count = kinds(types), position = 0, i, seen;
  const char *wanted = "";
  (void)report;
  for (size_t k = 0; k < n; k++)
    if (strcmp(keys[k], "device") == 0) wanted = values[k];
    else if (strcmp(keys[k], "Performance") && strncmp(keys[k], "Usb.", 4)) return NULL;
  if (*wanted) {
    int type = strncmp(wanted, "usb", 3) == 0, index = strchr(wanted, ':') ? atoi(strchr(wanted, ':') + 1) : 0;
    for (i = 0, seen = 0, position = -1; i < count; i++)
      if (types[i] == type && seen++ == index) position = i;
  }
  if (position < 0 || position >= count) return NULL;
  const char *busy = getenv("SIM_BUSY");
  if (busy && strchr(busy, '0' + position)) return NULL;
  delegate *made = calloc(1, sizeof *made);
  made->data = made;
  made->prepare = claim;
  made->flags = 1;      /* kTfLiteDelegateFlagsAllowDynamicTensors: else the runtime prepares the custom op itself first */
  if (is("SIM_ABI", "old")) memset(made->later, 0xCD, sizeof made->later);
  opened++;
  return made;
}
void tflite_plugin_destroy_delegate(delegate *made) { opened--; free(made); }
