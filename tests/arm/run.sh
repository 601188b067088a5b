#!/bin/sh
# Engine, simulated driver and supervision on a board's processor, emulated: `make test-arm`.
#
#   run.sh armhf|arm64 FOLDER [ARGUMENTS OF PYTEST]     FOLDER: where the root file system lies, or is to be made
#
# On Debian: apt install qemu-user-static gcc-arm-linux-gnueabihf gcc-aarch64-linux-gnu python3-pip
# ai-edge-litert 2.3.0 dies of SIGSEGV in its first interpreter under qemu 7.2; 2.1.0 does not.
set -eu
architecture=$1 root=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
case $architecture in
  armhf) qemu=qemu-arm-static; triplet=arm-linux-gnueabihf; engine=tflite-runtime==2.14.0; platform=manylinux_2_34_armv7l ;;
  arm64) qemu=qemu-aarch64-static; triplet=aarch64-linux-gnu; engine=ai-edge-litert==2.1.0; platform=manylinux_2_27_aarch64 ;;
  *) echo "$0: armhf or arm64, not $architecture"; exit 2 ;;
esac
for program in $qemu $triplet-gcc; do
  command -v $program > /dev/null || { echo "$0: $program is missing"; exit 1; }
done
[ -x "$root/usr/bin/python3.11" ] || "$here/make_root.sh" "$architecture" "$root"
root=$(cd "$root" && pwd)
if [ ! -d "$root/engine" ]; then
  "${PYTHON:-python3}" -m pip download -q --no-deps --only-binary=:all: --platform $platform --python-version 3.11 \
    --implementation cp -d "$root/wheels" $engine
  "${PYTHON:-python3}" -m zipfile -e "$root"/wheels/*.whl "$root/engine"
fi
# A Python of that processor which starts others like itself: its own name is this script's.
python=$root/usr/bin/python-emulated
printf '#!/bin/sh\nexec %s -L "%s" -0 "%s" "%s" "$@"\n' $qemu "$root" "$python" "$root/usr/bin/python3.11" > "$python"
chmod +x "$python"
cd "$here/../.."
[ $# -gt 0 ] || set -- tests/edgetpu tests/engine/test_pairing.py tests/engine/test_runtimes.py \
  tests/facade/test_classifier_supervised.py
PYTHONPATH=$root/engine CC=$triplet-gcc CORAL_CLASSIFY_PATIENCE=20 exec "$python" -m pytest -q -p no:cacheprovider "$@"
