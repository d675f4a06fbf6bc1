import { useEffect, useState } from "react";
import { call } from "./api.ts";
import type { PolicyDocument, Problem } from "./types.ts";

// useCheck has the server check a draft, a moment after its last change. Problems are
// those of the last one checked; sound says that this very one was checked and has none.
export function useCheck(document: PolicyDocument): { problems: Problem[]; sound: boolean } {
  const [last, setLast] = useState<{ of: PolicyDocument | null; problems: Problem[] }>({ of: null, problems: [] });
  useEffect(() => {
    let wanted = true;
    const wait = setTimeout(() => {
      call<{ problems: Problem[] }>("POST", "policy/check", { document }).then(
        (a) => wanted && setLast({ of: document, problems: a.problems }),
        (e: Error) => wanted && setLast({ of: document, problems: [{ code: "unchecked", message: e.message }] }),
      );
    }, 200);
    return () => {
      wanted = false;
      clearTimeout(wait);
    };
  }, [document]);
  return { problems: last.problems, sound: last.of === document && last.problems.length === 0 };
}
