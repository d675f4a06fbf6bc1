import { useEffect, useRef, useState } from "react";
import { call, of, type RunState } from "./api.ts";

// useRun has the server work on something that takes a while, and follows it. What runs is
// cancelled when the page goes.
export function useRun<T>(tenant: string) {
  const [running, setRunning] = useState<{ done: number; total: number } | null>(null);
  const current = useRef(""); // id of the one that runs
  const cancel = () => {
    const id = current.current;
    current.current = "";
    setRunning(null);
    if (id) call("DELETE", of(tenant, `replay/${id}`)).catch(() => {}); // it may have ended by itself
  };
  useEffect(() => cancel, []);

  // run gives what came of it, or null if it was cancelled; it throws what went wrong.
  const run = async (path: string, body: unknown): Promise<T | null> => {
    setRunning({ done: 0, total: 0 });
    try {
      const { id } = await call<{ id: string }>("POST", of(tenant, path), body);
      current.current = id;
      for (let wait = 50; current.current === id; wait = Math.min(2 * wait, 500)) {
        const s = await call<RunState<T>>("GET", of(tenant, `replay/${id}`));
        if (current.current !== id) return null;
        if (s.finished) {
          current.current = "";
          setRunning(null);
          if (s.result) return s.result;
          throw new Error(s.error?.message ?? "It ended without a result.");
        }
        setRunning({ done: s.done, total: s.total });
        await new Promise((done) => setTimeout(done, wait));
      }
      return null;
    } catch (e) {
      current.current = "";
      setRunning(null);
      throw e;
    }
  };
  return { running, run, cancel };
}
