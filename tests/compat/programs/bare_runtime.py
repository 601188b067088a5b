"""The same with the bare runtime, as a program of 2020 does without PyCoral."""
# ruff: noqa  (as it was written)
import sys

import numpy as np
from PIL import Image
import tflite_runtime.interpreter as tflite

EDGETPU_SHARED_LIB = 'libedgetpu.so.1'


def main(model_file, image_file, count):
    model_file, *device = model_file.split('@')
    interpreter = tflite.Interpreter(
        model_path=model_file,
        experimental_delegates=[
            tflite.load_delegate(EDGETPU_SHARED_LIB, {'device': device[0]} if device else {})
        ])
    interpreter.allocate_tensors()
    input_details = interpreter.get_input_details()
    output_details = interpreter.get_output_details()
    _, height, width, _ = input_details[0]['shape']
    picture = np.array(Image.open(image_file).convert('RGB').resize((width, height)))
    for number in range(count):
        input_data = np.expand_dims(picture + np.uint8(number % 256), axis=0)
        interpreter.set_tensor(input_details[0]['index'], input_data)
        interpreter.invoke()
        output_data = np.squeeze(interpreter.get_tensor(output_details[0]['index']))
        scale, zero_point = output_details[0]['quantization']
        best = output_data.argsort()[-1:][::-1]
        for i in best:
            print('%d: %.5f' % (i, scale * (float(output_data[i]) - zero_point)))


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
